// Removes what the build made, so that a deleted source file leaves no stale output behind.
import { rmSync } from 'node:fs';

for (const folder of ['dist', 'build']) rmSync(folder, { recursive: true, force: true });
