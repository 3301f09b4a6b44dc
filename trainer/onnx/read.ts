/** Reads an ONNX file into a Graph, or refuses it with a clear error. */
import { readFile, stat } from 'node:fs/promises'
import { MuninnError } from '../../protocol/errors.ts'
import { allocate, nameOfCode, typeOfCode } from './data-types.ts'
import { withExternalData } from './external-data.ts'
import { type Attribute, elementCount, type Graph, type Node, needsOf, type TensorData, type ValueInfo } from './graph.ts'
import { Model, Tensor } from './proto.ts'
import { bad, bytes, integer, list, type Raw, text } from './raw.ts'

/** Larger files are refused before they are read: no detector for an edge device is near it. */
export const maxModelBytes = 512 * 1024 * 1024

const decoder = new TextDecoder()

/** A file, with what it keeps in files beside it. @throws MuninnError NOT_FOUND, BAD_MODEL, TOO_LARGE */
export async function readOnnxFile(path: string): Promise<Graph> {
  return readOnnx(await withExternalData(path, await readModelFile(path), maxModelBytes))
}

/** The bytes of a file that may be a model: no folder, no pipe, not too large. @throws MuninnError NOT_FOUND, TOO_LARGE */
export async function readModelFile(path: string): Promise<Uint8Array> {
  try {
    const { size, isFile } = await stat(path).then((found) => ({ size: found.size, isFile: found.isFile() }))
    if (!isFile) throw new Error('it is no file')
    if (size > maxModelBytes) throw new MuninnError('TOO_LARGE', `${path} has ${size} bytes, at most ${maxModelBytes} are taken`)
    return await readFile(path)
  } catch (cause) {
    if (cause instanceof MuninnError) throw cause
    throw new MuninnError('NOT_FOUND', `${path} cannot be read (${cause instanceof Error ? cause.message : String(cause)})`, {
      cause,
    })
  }
}

/** The file as protobuf has it, 64-bit numbers as text. @throws MuninnError BAD_MODEL, TOO_LARGE */
export function decodeModel(file: Uint8Array): Raw {
  if (file.length > maxModelBytes)
    throw new MuninnError('TOO_LARGE', `the ONNX file has ${file.length} bytes, at most ${maxModelBytes} are taken`)
  let model: Raw
  try {
    model = Model.toObject(Model.decode(file), { longs: String, arrays: true }) as Raw
  } catch (cause) {
    throw bad('the file is damaged or is not ONNX at all', cause)
  }
  if (list((model.graph as Raw | undefined)?.node).length === 0) throw bad('the file has no graph')
  return model
}

/** @throws MuninnError BAD_MODEL, TOO_LARGE */
export const readOnnx = (file: Uint8Array): Graph => graphOf(decodeModel(file))

/** The graph of a decoded file. @throws MuninnError BAD_MODEL naming the node or tensor that is not supported */
export function graphOf(model: Raw): Graph {
  const raw = (model.graph ?? {}) as Raw
  const opsets = Object.fromEntries(
    list(model.opsetImport).map(({ domain, version }) => [text(domain) === 'ai.onnx' ? '' : text(domain), integer(version)]),
  )
  if (list(raw.sparseInitializer).length > 0) throw bad('the file has sparse tensors; save it with dense ones')
  const scope = { opsets: { '': 1, ...opsets }, depth: 0 }
  const nodes = list(raw.node).map((each) => readNode(each, scope))
  if (list(model.functions).length > 0 && nodes.some(({ domain }) => domain !== '' && !(domain in opsets)))
    throw bad('the file has functions of its own; inline them (onnx.inliner.inline_local_functions)')
  const metadata = Object.fromEntries(list(model.metadataProps).map(({ key, value }) => [text(key), text(value)]))
  return { ...readGraph(raw, nodes, 'whole'), opsets: scope.opsets, metadata }
}

/** How deep branches may lie in branches. */
const deepest = 4

interface Scope {
  readonly opsets: Graph['opsets']
  /** Of how many branches it is a part. */
  readonly depth: number
}

/** A branch sees what is around it: what it takes from there is asked of the graph that it stands in. */
function readBranch(raw: Raw, { opsets, depth }: Scope): Graph {
  if (list(raw.sparseInitializer).length > 0) throw bad('the file has sparse tensors; save it with dense ones')
  if (depth === deepest) throw bad(`the file has more than ${deepest} branches in each other`)
  const nodes = list(raw.node).map((each) => readNode(each, { opsets, depth: depth + 1 }))
  return { ...readGraph(raw, nodes, 'branch'), opsets, metadata: {} }
}

function readGraph(raw: Raw, nodes: readonly Node[], kind: 'whole' | 'branch'): Omit<Graph, 'opsets' | 'metadata'> {
  const initializers = new Map(list(raw.initializer).map((each) => [text(each.name), readTensor(each)]))
  const given = new Set([...list(raw.input).map(({ name }) => text(name)), ...initializers.keys()])
  return {
    name: text(raw.name),
    // Before IR version 4, initialisers had to be listed as inputs, too.
    inputs: list(raw.input)
      .map(readValue)
      .filter(({ name }) => !initializers.has(name)),
    outputs: list(raw.output).map(readValue),
    nodes: sorted(nodes, given, list(raw.output), kind),
    initializers,
  }
}

/** A tensor in a file of its own (TensorProto). @throws MuninnError BAD_MODEL */
export function readOnnxTensor(file: Uint8Array): TensorData {
  try {
    return readTensor(Tensor.toObject(Tensor.decode(file), { longs: String, arrays: true }) as Raw)
  } catch (cause) {
    throw cause instanceof MuninnError ? cause : bad('the file holds no tensor', cause)
  }
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

function readNode(raw: Raw, scope: Scope): Node {
  const domain = text(raw.domain)
  const name = text(raw.name) || text(raw.opType)
  // Loops are for what is known only in the run; which branch is taken is often known before.
  const isIf = text(raw.opType) === 'If' && ['', 'ai.onnx'].includes(domain)
  const read = (each: Raw): Attribute =>
    isIf && integer(each.type) === 5 ? { graph: readBranch((each.g ?? {}) as Raw, scope) } : readAttribute(each, name)
  return {
    op: text(raw.opType),
    domain: domain === 'ai.onnx' ? '' : domain,
    name: text(raw.name),
    inputs: Array.isArray(raw.input) ? raw.input.map(text) : [],
    outputs: Array.isArray(raw.output) ? raw.output.map(text) : [],
    attributes: Object.fromEntries(list(raw.attribute).map((each) => [text(each.name), read(each)])),
  }
}

/** AttributeProto.AttributeType: 1 FLOAT, 2 INT, 3 STRING, 4 TENSOR, 6 FLOATS, 7 INTS, 8 STRINGS; 5 and from 9 up are graphs and rarities. */
function readAttribute(raw: Raw, node: string): Attribute {
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
      throw bad(
        `attribute ${text(raw.name)} of node ${node} is a subgraph or of an unknown kind; models with loops are not taken: export the network without its own suppression, boxes and scores alone`,
      )
  }
}

function readTensor(raw: Raw): TensorData {
  const name = text(raw.name)
  const shape = list(raw.dims).map(integer)
  const code = integer(raw.dataType)
  const type = typeOfCode(code)
  if (integer(raw.dataLocation) === 1)
    throw bad(`tensor ${name} lies in another file; keep it beside the model, or save the model as one file`)
  if (type === 'other' || type === 'string')
    throw bad(`tensor ${name} has the data type ${nameOfCode(code)}, which is not supported`)
  const count = elementCount(shape)
  if (shape.some((size) => size < 0) || count > maxModelBytes) throw bad(`tensor ${name} has the shape [${shape.join(', ')}]`)
  const packed = bytes(raw.rawData)
  const fields = { float32: raw.floatData, float64: raw.doubleData, int64: raw.int64Data } as Record<string, unknown>
  const values = list(fields[type] ?? raw.int32Data)
  // Before memory is taken: a few bytes can declare any size.
  if (packed.length === 0 && values.length !== count)
    throw bad(`tensor ${name} has ${values.length} values, its shape [${shape.join(', ')}] wants ${count}`)
  if (packed.length > 0 && packed.length !== count * allocate(type, 1).byteLength)
    throw bad(`tensor ${name} has ${packed.length} bytes, its shape wants ${count * allocate(type, 1).byteLength}`)
  const data = allocate(type, count)
  if (packed.length > 0) new Uint8Array(data.buffer).set(packed)
  else if (data instanceof BigInt64Array) for (const [i, value] of values.entries()) data[i] = BigInt(String(value))
  else for (const [i, value] of values.entries()) data[i] = Number(value)
  return { type, shape, data }
}

/**
 * The nodes in an order in which every value is made before it is used, and once (ONNX IR: graphs are in SSA form, topologically
 * sorted). Not every exporter sorts; what goes round in a circle is refused.
 */
function sorted(nodes: readonly Node[], given: ReadonlySet<string>, outputs: readonly Raw[], kind: 'whole' | 'branch'): Node[] {
  const makers = new Map<string, Node>()
  for (const node of nodes)
    for (const output of node.outputs) {
      if (output === '') continue
      if (makers.has(output) || given.has(output)) throw bad(`${output} is made twice`)
      makers.set(output, node)
    }
  const order: Node[] = []
  const state = new Map<Node, 'open' | 'done'>()
  for (const root of nodes) {
    // A stack of our own: a graph may be deeper than the call stack.
    const stack = [root]
    while (stack.length > 0) {
      const node = stack.at(-1)!
      if (state.get(node) === 'done') {
        stack.pop()
        continue
      }
      if (state.get(node) === 'open') {
        state.set(node, 'done')
        order.push(node)
        stack.pop()
        continue
      }
      state.set(node, 'open')
      for (const input of needsOf(node).reverse()) {
        if (input === '' || given.has(input)) continue
        const maker = makers.get(input)
        const label = node.name || node.op
        if (!maker && kind === 'branch') continue
        if (!maker) throw bad(`node ${label} uses ${input} before it is made: nothing makes it`)
        if (state.get(maker) === 'open')
          throw bad(`node ${label} uses ${input} before it is made: the graph goes round in a circle`)
        if (!state.has(maker)) stack.push(maker)
      }
    }
  }
  for (const { name } of outputs)
    if (kind === 'whole' && !makers.has(text(name)) && !given.has(text(name))) throw bad(`the output ${text(name)} is never made`)
  return order
}
