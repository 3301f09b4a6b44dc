/** What an ONNX file says of itself, told also of files that we do not take. */
import { type Static, Type } from 'typebox'
import { nameOfCode } from './data-types.ts'
import { integer, list, type Raw, text } from './raw.ts'

const Value = Type.Object({
  name: Type.String(),
  /** Element type as ONNX calls it, or that it is no tensor. */
  type: Type.String(),
  shape: Type.Array(Type.Union([Type.Number(), Type.String()])),
})

export const Header = Type.Object({
  irVersion: Type.Number(),
  opsets: Type.Record(Type.String(), Type.Number()),
  producer: Type.String(),
  inputs: Type.Array(Value),
  outputs: Type.Array(Value),
  /** Floating-point numbers in initialisers. */
  parameters: Type.Number(),
  /** How often each op occurs, with its domain before it where that is not the standard one. */
  ops: Type.Record(Type.String(), Type.Number()),
})
export type Header = Static<typeof Header>

const floats = ['float32', 'float16', 'bfloat16', 'float64']

function readValue(raw: Raw): Static<typeof Value> {
  const tensor = (raw.type as Raw | undefined)?.tensorType as Raw | undefined
  const shape = list((tensor?.shape as Raw | undefined)?.dim).map(({ dimValue, dimParam }) =>
    dimValue === undefined ? text(dimParam) || '?' : integer(dimValue),
  )
  return { name: text(raw.name), type: tensor ? nameOfCode(integer(tensor.elemType)) : 'no tensor', shape }
}

/** @param model as decodeModel gives it */
export function headerOf(model: Raw): Header {
  const graph = (model.graph ?? {}) as Raw
  const initializers = list(graph.initializer)
  const names = new Set(initializers.map(({ name }) => text(name)))
  const ops: Record<string, number> = {}
  for (const { opType, domain } of list(graph.node)) {
    const standard = ['', 'ai.onnx'].includes(text(domain))
    const op = standard ? text(opType) : `${text(domain)}.${text(opType)}`
    ops[op] = (ops[op] ?? 0) + 1
  }
  const sizeOf = (tensor: Raw) => list(tensor.dims).reduce((product: number, size) => product * integer(size), 1)
  return {
    irVersion: integer(model.irVersion),
    opsets: Object.fromEntries(
      list(model.opsetImport).map(({ domain, version }) => [text(domain) || 'ai.onnx', integer(version)]),
    ),
    producer: [text(model.producerName), text(model.producerVersion)].filter((each) => each !== '').join(' '),
    inputs: list(graph.input)
      .map(readValue)
      .filter(({ name }) => !names.has(name)),
    outputs: list(graph.output).map(readValue),
    parameters: initializers
      .filter(({ dataType }) => floats.includes(nameOfCode(integer(dataType))))
      .reduce((sum, each) => sum + sizeOf(each), 0),
    ops: Object.fromEntries(Object.entries(ops).sort(([, a], [, b]) => b - a)),
  }
}
