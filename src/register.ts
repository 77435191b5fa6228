// `import 'tlshub/register'`, `node --import tlshub/register app.js`, `node --require tlshub/register app.js`: the TLS
// sessions of an unchanged application become shared, by TLSHUB_SHARE. The environment is read once, here.
import { register } from './wrapper/register.ts';

register();
