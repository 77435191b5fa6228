// Every number that both ends of the wire must agree on, or that bounds what one end accepts from the other.
// Timers and limits that an operator may change are in daemon/config.ts.

/** Version of the protocol; ends that differ in it refuse each other with ERR_TLSHUB_VERSION. */
export const PROTOCOL_VERSION = 1;

/** Longest line on link or lane, in bytes, newline included; a longer one closes the connection. */
export const MAX_LINE_BYTES = 1024 * 1024;

/** Largest blob (a CA list) that a link may put, in bytes. */
export const MAX_BLOB_BYTES = 8 * 1024 * 1024;

/** Bytes of a blob that one `put` call carries at most, before base64. */
export const MAX_BLOB_CHUNK_BYTES = 512 * 1024;

/** Most bytes a holder may give back as unread when it detaches. */
export const MAX_UNREAD_BYTES = 1024 * 1024;

/** Longest path of a Unix socket on Linux, in bytes without the terminating zero (sun_path, unix(7)). */
export const MAX_SOCKET_PATH_BYTES = 107;

/** Longest time that a caller may ask to wait for a session, in milliseconds (one day). */
export const MAX_WAIT_MS = 24 * 60 * 60 * 1000;

/** Most payload bytes of one frame on a framed lane. */
export const MAX_FRAME_PAYLOAD_BYTES = 64 * 1024;

/** Largest stream offset that a frame can carry; a payload must end at or before it. */
export const MAX_FRAME_OFFSET = 2 ** 48 - 1;

/** Most bytes that one direction of a framed lane may have unacknowledged (or uncredited). */
export const FRAME_WINDOW_BYTES = 256 * 1024;

/** Numbers of lanes from this one on are the daemon's to give, for the lanes of trunks; a frame carries 32 bits. */
export const FIRST_TRUNK_LANE = 2 ** 31;

/** Longest message of turn mode where the session sets no limit of its own, in bytes, delimiter or prefix included. */
export const DEFAULT_MAX_MESSAGE_BYTES = 1024 * 1024;

/** Longest delimiter of turn mode, in bytes of UTF-8. */
export const MAX_DELIMITER_BYTES = 256;

/** Largest state that an application may keep with a named session, in bytes. */
export const MAX_STATE_BYTES = 64 * 1024;

/** Longest time that a timer can run (Node's own limit), in milliseconds. */
export const MAX_TIMER_MS = 2 ** 31 - 1;

/** Most connections that may wait, for the kernel's queue of a port and for sessions without a worker. */
export const MAX_BACKLOG = 65_535;
