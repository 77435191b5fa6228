// Public names of `tlshub/ssl`: the sessions of tlshub by OpenSSL's verbs (docs/ssl.md).
export type { AttachOptions } from './wrapper/attach.ts';
export type { SharingInfo } from './wrapper/sharing-info.ts';
export type { SharedOptions } from './wrapper/sharing-options.ts';
export { SSL_ERROR, type SslErrorClass } from './wrapper/ssl/error-class.ts';
export type { ReturnCode, SslCall } from './wrapper/ssl/outcomes.ts';
export type { WaitOptions } from './wrapper/ssl/patience.ts';
export { SSL_SHUTDOWN, Ssl } from './wrapper/ssl/ssl.ts';
export { X509_V } from './wrapper/ssl/verify-result.ts';
