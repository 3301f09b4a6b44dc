/** Runs the hub by itself, without the rest of the command line: `node dist/hub/main.js --port 8080`. */
import { runMain } from 'citty'
import { hub } from './commands/hub.ts'

await runMain(hub)
