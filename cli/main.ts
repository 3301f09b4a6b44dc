/** The one command line: finds the command, checks its flags, runs it. Exit codes: 0 done, 1 it failed, 2 it was called wrongly. */
import { type ArgsDef, type CommandDef, renderUsage, runCommand } from 'citty'
import { MuninnError } from '../protocol/errors.ts'
import { version } from '../protocol/version.ts'
import { commands } from './commands.ts'

const overview = () =>
  [
    'muninn: closes the loop for detectors on city cameras.',
    '',
    'Usage: muninn COMMAND [flags]      muninn COMMAND --help teaches one command',
    '',
    ...Object.entries(commands).map(([name, { description }]) => `  ${name.padEnd(12)}${description}`),
    '',
    'Start here:  muninn up             hub, trainer and a demo camera on this machine',
  ].join('\n')

/** Flags that the command does not know: a typing error must not be taken for a default. */
function unknownFlags(definitions: ArgsDef, rawArgs: readonly string[]): string[] {
  const kebab = (name: string) => name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)
  const known = new Set(
    Object.entries(definitions).flatMap(([name, definition]) =>
      [name, kebab(name), ('alias' in definition && definition.alias) || []].flat(),
    ),
  )
  const end = rawArgs.indexOf('--')
  return rawArgs
    .slice(0, end < 0 ? undefined : end)
    .filter((arg) => /^--?[A-Za-z]/.test(arg))
    .map((arg) => arg.replace(/^--?/, '').replace(/=.*$/, ''))
    .filter((name) => !known.has(name) && !known.has(name.replace(/^no-/, '')))
}

// onnxruntime otherwise keeps events in the user's cache folder and sends them to its makers (core/platform/posix/telemetry.cc). It looks when
// its first session is made; processes and threads that a command starts have it from here.
process.env.ORT_DISABLE_TELEMETRY = '1'

async function main(args: readonly string[]): Promise<number> {
  const [name, ...rawArgs] = args
  if (name === undefined || name === 'help' || name === '--help' || name === '-h') {
    console.log(overview())
    return 0
  }
  if (name === '--version' || name === '-v') {
    console.log(`muninn ${version}`)
    return 0
  }
  if (!Object.hasOwn(commands, name)) {
    console.error(`muninn: there is no command '${name}'.\n\n${overview()}`)
    return 2
  }
  // Erased to the widest form here; each command checks its own flags.
  const command: CommandDef = await commands[name]!.load()
  if (rawArgs.includes('--help') || rawArgs.includes('-h')) {
    console.log(await renderUsage(command, { meta: { name: 'muninn' } }))
    return 0
  }
  const definitions = (await (typeof command.args === 'function' ? command.args() : command.args)) ?? {}
  const unknown = unknownFlags(definitions, rawArgs)
  if (unknown.length > 0) {
    console.error(`muninn ${name}: unknown flag --${unknown.join(', --')}. 'muninn ${name} --help' lists the flags.`)
    return 2
  }
  const { result } = await runCommand(command, { rawArgs })
  return typeof result === 'number' ? result : Number(process.exitCode ?? 0)
}

// A part started by `up` must not outlive it, however `up` ends.
if (process.send) {
  process.on('disconnect', () => process.kill(process.pid, 'SIGTERM'))
  // Listening must not keep a part alive that has stopped.
  process.channel?.unref()
}

main(process.argv.slice(2)).then(
  (code) => {
    process.exitCode = code
  },
  // What a failed command had open must not keep it alive: whoever started it waits for its end.
  (error: unknown) => process.exit(tellFailure(error)),
)

function tellFailure(error: unknown): number {
  if (error instanceof Error && error.name === 'CLIError') {
    console.error(`muninn: ${error.message} (see --help)`)
    return 2
  }
  if (error instanceof MuninnError) {
    console.error(`muninn: ${error.message}`)
    return error.code === 'INVALID_INPUT' ? 2 : 1
  }
  console.error(error)
  return 1
}
