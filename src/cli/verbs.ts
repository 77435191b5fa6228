// Every verb of the command line, one file each; a new one is one line here. Read by main.ts and by the tests.
import type { Command } from 'commander';
import { closeCommand } from './commands/close.ts';
import { connectCommand } from './commands/connect.ts';
import { daemonCommand } from './commands/daemon.ts';
import { demoCommand } from './commands/demo.ts';
import { doctorCommand } from './commands/doctor.ts';
import { drainCommand } from './commands/drain.ts';
import { endpointCommand } from './commands/endpoint.ts';
import { inspectCommand } from './commands/inspect.ts';
import { reloadCommand } from './commands/reload.ts';
import { sessionsCommand } from './commands/sessions.ts';
import { startCommand } from './commands/start.ts';
import { statusCommand } from './commands/status.ts';
import { stopCommand } from './commands/stop.ts';

/** Makers of the verbs, in the order of the help. */
export const VERBS: readonly (() => Command)[] = [
  demoCommand,
  connectCommand,
  endpointCommand,
  daemonCommand,
  startCommand,
  stopCommand,
  statusCommand,
  sessionsCommand,
  inspectCommand,
  closeCommand,
  reloadCommand,
  drainCommand,
  doctorCommand,
];
