/** Adopts a foreign ONNX file, and tells what a deployed file says of itself. */
import { MuninnError } from '../../protocol/errors.ts'
import type { ModelInput } from '../../protocol/manifest.ts'
import { deployed } from '../detector/deploy.ts'
import { specificationOf } from '../detector/specification.ts'
import { writeAside } from '../files/write-aside.ts'
import { asFloat } from '../onnx/as-float.ts'
import type { Graph } from '../onnx/graph.ts'
import { readOnnxFile } from '../onnx/read.ts'
import { upgrade } from '../onnx/upgrade.ts'
import { writeOnnx } from '../onnx/write.ts'
import type { Adapter, AdapterOptions, Adopted } from './adapter.ts'
import { classesNamedIn, readClasses } from './class-names.ts'
import { Foreign } from './foreign.ts'
import { settleOpen } from './settle.ts'
import { adapters } from './table.ts'

export interface AdoptOptions {
  readonly input: string
  /** Name of an adapter, or `auto`. */
  readonly adapter: string
  /** Text file with the names of the classes; left out: those that the ONNX file names. */
  readonly classes?: string
  readonly output: string
  /** Size of the picture for a file that leaves it open. */
  readonly size?: { readonly width: number; readonly height: number }
  readonly normalization?: AdapterOptions['normalization']
  readonly resize?: 'letterbox' | 'stretch'
  readonly boxes?: 'xyxy' | 'cxcywh'
  readonly anchors?: readonly number[]
}

/** Writes `input` as a deployed model to `output`. @throws MuninnError BAD_MODEL, INVALID_INPUT, NOT_FOUND */
export async function adoptFile(
  options: AdoptOptions,
): Promise<{ classes: string[]; width: number; height: number; architecture: string; why: string; trainable: boolean }> {
  const adapter = Object.hasOwn(adapters, options.adapter) ? adapters[options.adapter] : undefined
  if (!adapter)
    throw new MuninnError(
      'INVALID_INPUT',
      `there is no adapter '${options.adapter}'; there are ${Object.keys(adapters).join(', ')}`,
    )
  const { graph: float, note } = asFloat(await readOnnxFile(options.input))
  const graph = upgrade(float)
  const classes = options.classes ? await readClasses(options.classes) : classesNamedIn(graph)
  if (!classes)
    throw new MuninnError(
      'INVALID_INPUT',
      'the ONNX file does not name its classes: name the file with their names, one a line (--classes names.txt)',
    )
  const { core, specification, width, height, why } = await adopt(graph, adapter, { ...options, classes })
  await writeAside(options.output, writeOnnx(deployed(core, specification, { width, height })))
  const { architecture, head } = specification
  return { classes, width, height, architecture, why: [why, ...(note ? [note] : [])].join('; '), trainable: head !== 'fixed' }
}

/** A foreign graph of opset 17 as an adapter makes it. @throws MuninnError BAD_MODEL */
export async function adopt(
  graph: Graph,
  adapter: Adapter,
  { size, ...options }: AdapterOptions & Pick<AdoptOptions, 'size'>,
): Promise<Adopted> {
  return await adapter(new Foreign(await settleOpen(graph, size)), options)
}

export interface DeployedDescription {
  readonly classes: string[]
  readonly input: ModelInput
  readonly architecture: string
  readonly thresholds: Record<string, number>
}

/** What a manifest needs to know of a deployed file. @throws MuninnError BAD_MODEL when it is none */
export async function describeDeployedModel(path: string): Promise<DeployedDescription> {
  const graph = await readOnnxFile(path)
  const { classes, resize, architecture } = specificationOf(graph)
  const [, height, width] = graph.inputs[0]!.shape.map(Number)
  return {
    classes,
    input: { width: width!, height: height!, resize },
    architecture,
    thresholds: Object.fromEntries(classes.map((name) => [name, 0.35])),
  }
}
