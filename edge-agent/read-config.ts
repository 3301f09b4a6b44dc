/** Reads agent.yaml: every fault told at once, with its line, unknown keys refused. */
import { readFile } from 'node:fs/promises'
import { dirname, resolve } from 'node:path'
import { isNode, LineCounter, parseDocument } from 'yaml'
import { AgentConfig } from '../protocol/config.ts'
import { MuninnError } from '../protocol/errors.ts'
import { parse } from '../protocol/parse.ts'

/**
 * @returns the configuration, frozen; a relative `dataFolder`, `ca` or file source is taken from the file's own folder
 * @throws MuninnError INVALID_INPUT naming file, line and field
 */
export async function readAgentConfig(path: string): Promise<AgentConfig> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw new MuninnError('INVALID_INPUT', `${path}: cannot be read (${cause instanceof Error ? cause.message : cause})`, {
      cause,
    })
  }
  return parseAgentConfig(text, path)
}

export function parseAgentConfig(text: string, path: string): AgentConfig {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines })
  const [fault] = document.errors
  if (fault) {
    const line = fault.linePos?.[0].line
    throw new MuninnError('INVALID_INPUT', `${path}${line ? `:${line}` : ''}: ${fault.message.split('\n')[0]}`)
  }
  /** The line of a field, or of the nearest thing around it that is there. */
  const lineOf = (field: string): number | null => {
    for (let keys = field.split('/').filter(Boolean); ; keys = keys.slice(0, -1)) {
      const node = keys.length > 0 ? document.getIn(keys, true) : document.contents
      if (isNode(node) && node.range) return lines.linePos(node.range[0]).line
      if (keys.length === 0) return null
    }
  }
  try {
    const config = parse(AgentConfig, document.toJS(), path)
    return deepFreeze(withAbsolutePaths(config, dirname(resolve(path))))
  } catch (error) {
    if (!(error instanceof MuninnError)) throw error
    const faults = error.message.slice(path.length + 2).split('; ')
    const told = faults.map((each) => {
      const line = lineOf(each.split(' ')[0]!)
      return `${path}${line ? `:${line}` : ''}: ${each}`
    })
    throw new MuninnError('INVALID_INPUT', told.join('\n'))
  }
}

function withAbsolutePaths(config: AgentConfig, folder: string): AgentConfig {
  const { ca, ...hub } = config.hub
  return {
    ...config,
    hub: { ...hub, ...(ca && { ca: resolve(folder, ca) }) },
    dataFolder: resolve(folder, config.dataFolder),
    cameras: config.cameras.map((camera) => ({
      ...camera,
      source: /^[a-z][a-z0-9+.-]*:\/\//i.test(camera.source) ? camera.source : resolve(folder, camera.source),
    })),
  }
}

function deepFreeze<T>(value: T): T {
  if (typeof value === 'object' && value !== null) {
    for (const inner of Object.values(value)) deepFreeze(inner)
    Object.freeze(value)
  }
  return value
}
