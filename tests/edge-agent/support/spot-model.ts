/** A real, tiny deployed model that finds the brightest 8 x 8 cell of a picture, and the signed manifest and self-test that go with it. */
import { createHash, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { encode } from 'cborg'
import sharp from 'sharp'
import type { ModelManifest, SelfTest, SignedManifest } from '../../../protocol/manifest.ts'
import type { Detection } from '../../../protocol/primitives.ts'
import { type Attribute, emptyGraph, floatTensor, type Graph, intTensor, type Node } from '../../../trainer/onnx/graph.ts'
import { writeOnnx } from '../../../trainer/onnx/write.ts'

export const side = 64
const cell = 8
const cells = side / cell
export const labels = ['spot', 'other']

export const sha256 = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex')

/**
 * @param gain score of a white cell
 * @param failsAbove brightness (0..1) of the brightest cell above which it gives NaN
 */
export function spotModel({
  gain = 0.9,
  failsAbove = 2,
  size = side,
}: {
  gain?: number
  failsAbove?: number
  size?: number
} = {}): Uint8Array {
  const graph: Graph = emptyGraph('spot')
  graph.inputs.push({ name: 'image', type: 'uint8', shape: [1, size, size, 3] })
  graph.outputs.push({ name: 'boxes', type: 'float32', shape: ['n', 4] })
  graph.outputs.push({ name: 'scores', type: 'float32', shape: ['n', 2] })
  graph.outputs.push({ name: 'embedding', type: 'float32', shape: [cells * cells] })
  const node = (op: string, inputs: string[], outputs: string[], attributes: Record<string, Attribute> = {}) =>
    graph.nodes.push({ op, domain: '', name: outputs[0]!, inputs, outputs, attributes } satisfies Node)
  const floats = (name: string, values: number[], shape = [values.length]) =>
    graph.initializers.set(name, floatTensor(shape, values))
  const ints = (name: string, values: number[]) => graph.initializers.set(name, intTensor([values.length], values))
  const step = size / cells
  floats('255', [255])
  floats('gain', [gain])
  floats('limit', [failsAbove])
  floats('cells', [cells])
  floats('corner', [0, 0, step, step], [1, 4])
  floats('step', [step])
  floats('tiny', [1e-6])
  floats('one', [1])
  ints('flat', [-1])
  ints('row', [1, -1])
  ints('k', [1])
  node('Cast', ['image'], ['float'], { to: 1 })
  node('Div', ['float', '255'], ['unit'])
  node('Transpose', ['unit'], ['planes'], { perm: [0, 3, 1, 2] })
  node('AveragePool', ['planes'], ['pooled'], { kernel_shape: [step, step], strides: [step, step] })
  node('ReduceMean', ['pooled'], ['grid'], { axes: [1], keepdims: 0 })
  node('Reshape', ['grid', 'flat'], ['light'])
  node('TopK', ['light', 'k'], ['best', 'index'])
  node('Cast', ['index'], ['place'], { to: 1 })
  node('Div', ['place', 'cells'], ['rows'])
  node('Floor', ['rows'], ['y'])
  node('Mul', ['y', 'cells'], ['before'])
  node('Sub', ['place', 'before'], ['x'])
  node('Concat', ['x', 'y', 'x', 'y'], ['cellBox'], { axis: 0 })
  node('Mul', ['cellBox', 'step'], ['pixels'])
  node('Add', ['pixels', 'corner'], ['boxes'])
  // The root of what is left below the limit is NaN above it; it is multiplied out again below.
  node('Sub', ['limit', 'best'], ['left'])
  node('Sqrt', ['left'], ['root'])
  node('Div', ['root', 'root'], ['sane'])
  node('Mul', ['best', 'gain'], ['score'])
  node('Mul', ['score', 'sane'], ['checked'])
  node('Sub', ['one', 'one'], ['zero'])
  node('Concat', ['checked', 'zero'], ['both'], { axis: 0 })
  node('Reshape', ['both', 'row'], ['scores'])
  node('Add', ['light', 'tiny'], ['lit'])
  node('ReduceL2', ['lit'], ['length'], { axes: [0], keepdims: 1 })
  node('Div', ['lit', 'length'], ['embedding'])
  return writeOnnx(graph)
}

/** A dark picture with one bright cell; and the same as the model's input. */
export async function spotPicture(x: number, y: number, brightness = 230): Promise<{ jpeg: Uint8Array; tensor: Uint8Array }> {
  const tensor = new Uint8Array(side * side * 3).fill(20)
  for (let row = y * cell; row < (y + 1) * cell; row++) {
    tensor.fill(brightness, (row * side + x * cell) * 3, (row * side + (x + 1) * cell) * 3)
  }
  const jpeg = await sharp(tensor, { raw: { width: side, height: side, channels: 3 } })
    .jpeg({ quality: 95 })
    .toBuffer()
  return { jpeg: new Uint8Array(jpeg), tensor }
}

export interface Release {
  readonly file: Uint8Array
  readonly sha256: string
  readonly selfTest: Uint8Array
  readonly selfTestSha256: string
  readonly signed: SignedManifest
}

export const keys = generateKeyPairSync('ed25519')
export const publicKeyText = keys.publicKey.export({ format: 'der', type: 'spki' }).toString('base64')

/** A model with everything the hub would send along. */
export async function release(
  options: { file?: Uint8Array; gain?: number; expected?: Detection[]; key?: KeyObject; version?: number } = {},
): Promise<Release> {
  const { gain = 0.9, file = spotModel({ gain }), version = 1, key = keys.privateKey } = options
  const expected =
    options.expected ??
    [{ box: [16, 24, 24, 32] as const, label: 'spot', score: (230 / 255) * gain }].map(
      (each) => ({ ...each, box: [...each.box] }) as Detection,
    )
  const test: SelfTest = { v: 1, frames: [{ jpeg: (await spotPicture(2, 3)).jpeg, detections: expected }] }
  const selfTest = encode(test)
  const manifest: ModelManifest = {
    v: 1,
    name: 'spots',
    version,
    file: { sha256: sha256(file), bytes: file.byteLength },
    input: { width: side, height: side, resize: 'letterbox' },
    classes: labels,
    thresholds: { spot: 0.5, other: 0.5 },
    architecture: 'spot',
    createdAt: 1_700_000_000_000,
    lineage: { base: null, dataset: null, run: null },
    metrics: {},
    selfTest: { sha256: sha256(selfTest), bytes: selfTest.byteLength },
  }
  const text = JSON.stringify(manifest)
  const signature = sign(null, Buffer.from(text), key).toString('base64')
  return { file, sha256: manifest.file.sha256, selfTest, selfTestSha256: sha256(selfTest), signed: { manifest: text, signature } }
}
