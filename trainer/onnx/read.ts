/** Reads an ONNX file into a Graph, or refuses it with a clear error. */
import { readFile } from 'node:fs/promises'
import { MuninnError } from '../../protocol/errors.ts'
import { allocate, typeOfCode } from './data-types.ts'
import { type Attribute, elementCount, type Graph, type Node, type TensorData, type ValueInfo } from './graph.ts'
import { Model } from './proto.ts'

/** Larger files are refused before they are read: no detector for an edge device is near it. */
export const maxModelBytes = 512 * 1024 * 1024

type Raw = Record<string, unknown>

const bad = (words: string, cause?: unknown) => new MuninnError('BAD_MODEL', `ONNX: ${words}`, { cause })
const list = (value: unknown): Raw[] => (Array.isArray(value) ? value : [])
const text = (value: unknown): string => (typeof value === 'string' ? value : '')
const bytes = (value: unknown): Uint8Array => (value instanceof Uint8Array ? value : new Uint8Array(0))
const integer = (value: unknown): number => {
  const number = Number(value ?? 0)
  if (!Number.isSafeInteger(number)) throw bad(`the number ${String(value)} is out of range`)
  return number
}
const decoder = new TextDecoder()

/** @throws MuninnError BAD_MODEL, TOO_LARGE */
export async function readOnnxFile(path: string): Promise<Graph> {
  let file: Uint8Array
  try {
    file = await readFile(path)
  } catch (cause) {
    throw new MuninnError('NOT_FOUND', `${path} cannot be read (${cause instanceof Error ? cause.message : String(cause)})`, {
      cause,
    })
  }
  return readOnnx(file)
}

/** @throws MuninnError BAD_MODEL, TOO_LARGE */
export function readOnnx(file: Uint8Array): Graph {
  if (file.length > maxModelBytes)
    throw new MuninnError('TOO_LARGE', `the ONNX file has ${file.length} bytes, at most ${maxModelBytes} are taken`)
  let model: Raw
  try {
    model = Model.toObject(Model.decode(file), { longs: Number, arrays: true }) as Raw
  } catch (cause) {
    throw bad('the file is damaged or is not ONNX at all', cause)
  }
  const raw = model.graph as Raw | undefined
  if (!raw || list(raw.node).length === 0) throw bad('the file has no graph')
  const opsets = Object.fromEntries(
    list(model.opsetImport).map(({ domain, version }) => [text(domain) === 'ai.onnx' ? '' : text(domain), integer(version)]),
  )
  const initializers = new Map(list(raw.initializer).map((each) => [text(each.name), readTensor(each)]))
  const graph: Graph = {
    name: text(raw.name),
    // Before IR version 4, initialisers had to be listed as inputs, too.
    inputs: list(raw.input)
      .map(readValue)
      .filter(({ name }) => !initializers.has(name)),
    outputs: list(raw.output).map(readValue),
    nodes: list(raw.node).map(readNode),
    initializers,
    opsets: { '': 1, ...opsets },
    metadata: Object.fromEntries(list(model.metadataProps).map(({ key, value }) => [text(key), text(value)])),
  }
  checkOrder(graph)
  return graph
}

function readValue(raw: Raw): ValueInfo {
  const tensor = (raw.type as Raw | undefined)?.tensorType as Raw | undefined
  const dims = list((tensor?.shape as Raw | undefined)?.dim)
  return {
    name: text(raw.name),
    type: typeOfCode(integer(tensor?.elemType)),
    shape: dims.map(({ dimValue, dimParam }, index) =>
      dimValue === undefined || dimParam ? text(dimParam) || `d${index}` : integer(dimValue),
    ),
  }
}

function readNode(raw: Raw): Node {
  const domain = text(raw.domain)
  return {
    op: text(raw.opType),
    domain: domain === 'ai.onnx' ? '' : domain,
    name: text(raw.name),
    inputs: Array.isArray(raw.input) ? raw.input.map(text) : [],
    outputs: Array.isArray(raw.output) ? raw.output.map(text) : [],
    attributes: Object.fromEntries(list(raw.attribute).map((each) => [text(each.name), readAttribute(each)])),
  }
}

/** AttributeProto.AttributeType: 1 FLOAT, 2 INT, 3 STRING, 4 TENSOR, 6 FLOATS, 7 INTS, 8 STRINGS; 5 and up are graphs and rarities. */
function readAttribute(raw: Raw): Attribute {
  switch (integer(raw.type)) {
    case 1:
      return { float: Number(raw.f ?? 0) }
    case 2:
      return integer(raw.i)
    case 3:
      return decoder.decode(bytes(raw.s))
    case 4:
      return { tensor: readTensor((raw.t ?? {}) as Raw) }
    case 6:
      return { floats: list(raw.floats).map(Number) }
    case 7:
      return list(raw.ints).map(integer)
    case 8:
      return { strings: list(raw.strings).map((each) => decoder.decode(bytes(each))) }
    default:
      throw bad(`attribute ${text(raw.name)} is a subgraph or of an unknown kind; models with control flow are not taken`)
  }
}

function readTensor(raw: Raw): TensorData {
  const name = text(raw.name)
  const shape = list(raw.dims).map(integer)
  const type = typeOfCode(integer(raw.dataType))
  if (integer(raw.dataLocation) === 1) throw bad(`tensor ${name} lies in another file; save the model as one file`)
  if (type === 'other' || type === 'string')
    throw bad(`tensor ${name} has the data type ${integer(raw.dataType)}, which is not supported`)
  const count = elementCount(shape)
  if (shape.some((size) => size < 0) || count > maxModelBytes) throw bad(`tensor ${name} has the shape [${shape.join(', ')}]`)
  const data = allocate(type, count)
  const packed = bytes(raw.rawData)
  if (packed.length > 0 || count === 0) {
    if (packed.length !== data.byteLength)
      throw bad(`tensor ${name} has ${packed.length} bytes, its shape wants ${data.byteLength}`)
    new Uint8Array(data.buffer).set(packed)
    return { type, shape, data }
  }
  const fields = { float32: raw.floatData, float64: raw.doubleData, int64: raw.int64Data } as Record<string, unknown>
  const values = list(fields[type] ?? raw.int32Data)
  if (values.length !== count) throw bad(`tensor ${name} has ${values.length} values, its shape wants ${count}`)
  if (data instanceof BigInt64Array) for (const [i, value] of values.entries()) data[i] = BigInt(String(value))
  else for (const [i, value] of values.entries()) data[i] = Number(value)
  return { type, shape, data }
}

/** Every value must be made before it is used, and once (ONNX IR: graphs are in SSA form, topologically sorted). */
function checkOrder(graph: Graph): void {
  const known = new Set(['', ...graph.inputs.map(({ name }) => name), ...graph.initializers.keys()])
  for (const node of graph.nodes) {
    for (const input of node.inputs)
      if (!known.has(input)) throw bad(`node ${node.name || node.op} uses ${input} before it is made`)
    for (const output of node.outputs) {
      if (output !== '' && known.has(output)) throw bad(`${output} is made twice`)
      known.add(output)
    }
  }
  for (const { name } of graph.outputs) if (!known.has(name)) throw bad(`the output ${name} is never made`)
}
