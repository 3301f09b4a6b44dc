/** Names of classes: from a text file, or from what an exporter wrote into the ONNX file. */
import { readFile } from 'node:fs/promises'
import { MuninnError } from '../../protocol/errors.ts'
import type { Graph } from '../onnx/graph.ts'

/** Class names from a text file, one a line. @throws MuninnError NOT_FOUND, INVALID_INPUT */
export async function readClasses(path: string): Promise<string[]> {
  let text: string
  try {
    text = await readFile(path, 'utf8')
  } catch (cause) {
    throw new MuninnError('NOT_FOUND', `the class names ${path} cannot be read`, { cause })
  }
  const names = text.split(/\r?\n/).map((line) => line.trim())
  while (names.at(-1) === '') names.pop()
  if (names.length === 0 || names.includes(''))
    throw new MuninnError('INVALID_INPUT', `${path} must hold one class name a line, none of them empty`)
  return names
}

/** Class names that the file's metadata holds as Ultralytics writes them, {0: 'person', 1: "driver's cab"}; undefined when it holds none. */
export function classesNamedIn({ metadata }: Pick<Graph, 'metadata'>): string[] | undefined {
  const text = metadata.names?.trim()
  if (!text?.startsWith('{') || !text.endsWith('}')) return undefined
  const names: string[] = []
  for (const [, index, single, double] of text.matchAll(/(\d+): (?:'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)")/g)) {
    if (Number(index) !== names.length) return undefined
    names.push((single ?? double ?? '').replaceAll(/\\(.)/g, '$1'))
  }
  return names.length > 0 && names.every((name) => name.trim() !== '') ? names : undefined
}
