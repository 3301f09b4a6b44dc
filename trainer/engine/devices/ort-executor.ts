/** The executor over onnxruntime's own providers. */
import { existsSync } from 'node:fs'
import { createRequire } from 'node:module'
import { dirname, join } from 'node:path'
import ort from 'onnxruntime-node'
import { MuninnError } from '../../../protocol/errors.ts'
import { GraphBuilder } from '../../graph/builder.ts'
import { writeOnnx } from '../../onnx/write.ts'
import type { Feed } from '../feeds.ts'
import type { Executor, Program } from './executor.ts'
import { graphicsCard } from './graphics-card.ts'

type Provider = 'cpu' | 'webgpu' | 'cuda'

/**
 * With WebGPU, outputs that are kept stay on the device ("gpu-buffer") and are freed by `dispose`. onnxruntime-node binds such outputs for
 * WebGPU only: with CUDA the state comes back to this process's memory after each step and is sent again with the next one.
 */
export class OrtExecutor implements Executor<ort.Tensor> {
  readonly #provider: Provider
  readonly #threads: number
  readonly #sessions = new Set<ort.InferenceSession>()
  #reader: Promise<ort.InferenceSession> | null = null

  constructor({ provider, threads = 0 }: { provider: Provider; threads?: number }) {
    this.#provider = provider
    this.#threads = threads
  }

  get description(): string {
    return this.#provider === 'webgpu' ? `webgpu (${graphicsCard().name})` : this.#provider
  }

  get software(): boolean {
    return this.#provider === 'webgpu' && graphicsCard().software
  }

  async compile(model: Uint8Array, { kept }: { kept: readonly string[] }): Promise<Program<ort.Tensor>> {
    const session = await this.#open(model, kept)
    const wanted = new Set(session.inputNames)
    return {
      run: async ({ feeds, held }) => {
        const inputs: Record<string, ort.Tensor> = {}
        for (const [name, feed] of Object.entries(feeds)) if (wanted.has(name)) inputs[name] = tensorOf(feed)
        return await session.run({ ...inputs, ...held })
      },
      close: () => this.#release(session),
    }
  }

  async read(tensor: ort.Tensor): Promise<Float32Array> {
    if (tensor.location === 'cpu') return Float32Array.from(tensor.data as Float32Array)
    // The binding has no download of its own: a session that does nothing, with its output in this process's memory, is one.
    this.#reader ??= this.#open(identity(), [])
    const { y } = await (await this.#reader).run({ x: tensor })
    return Float32Array.from(y!.data as Float32Array)
  }

  free(tensor: ort.Tensor): void {
    tensor.dispose()
  }

  async close(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => this.#release(session)))
  }

  async #release(session: ort.InferenceSession): Promise<void> {
    if (this.#sessions.delete(session)) await session.release()
  }

  async #open(model: Uint8Array, kept: readonly string[]): Promise<ort.InferenceSession> {
    try {
      const session = await ort.InferenceSession.create(model, {
        executionProviders: [this.#provider === 'webgpu' ? webgpu : this.#provider],
        enableMemPattern: false,
        graphOptimizationLevel: 'disabled',
        intraOpNumThreads: this.#threads,
        // Ops that a provider lacks run on the processor and are told as warnings, each time.
        logSeverityLevel: 3,
        ...(this.#provider === 'webgpu' && {
          preferredOutputLocation: Object.fromEntries(kept.map((name) => [name, 'gpu-buffer' as const])),
        }),
      })
      this.#sessions.add(session)
      return session
    } catch (cause) {
      throw new MuninnError('UNAVAILABLE', whyNot(this.#provider, cause instanceof Error ? cause.message : String(cause)), {
        cause,
      })
    }
  }
}

/**
 * Channels stay where they are: with channels last, onnxruntime 1.30 mixes the groups of a grouped convolution that have 9 outputs each, say
 * (its shader takes four channels at a time, across groups). And every step wants buffers of the very same sizes: kept by exact size, none
 * is ever made anew (YOLOX-nano on an H200: 92 ms a step to 59).
 */
const webgpu = { name: 'webgpu', preferredLayout: 'NCHW', storageBufferCacheMode: 'simple' } as const

export const tensorOf = ({ type, shape, data }: Feed): ort.Tensor => new ort.Tensor(type, data as Float32Array, shape)

/** What is wrong and what helps; onnxruntime's own words (source lines, class names) stay with the cause. */
function whyNot(provider: Provider, words: string): string {
  if (provider === 'webgpu' && /adapter|vulkan|Dawn/i.test(words))
    return "WebGPU found no graphics card here; on Linux it needs libvulkan.so.1 and the card's Vulkan driver"
  if (provider === 'cuda' && !cudaLibraries())
    return "onnxruntime's CUDA libraries are not in the default install: ONNXRUNTIME_NODE_INSTALL=cuda12 npm rebuild onnxruntime-node (Linux, x86-64) fetches them"
  const missing = /lib(?:cudnn|cublas|cudart|cufft|curand|nvrtc)[\w.]*/.exec(words)?.[0]
  if (provider === 'cuda' && missing)
    return `CUDA 12 and cuDNN 9 must be on the library path: ${missing} was not found or does not fit`
  const failure = /CUDA failure \d+: ([^;\n]+)/i.exec(words)?.[1]?.trim()
  if (failure) return `CUDA: ${failure}; it needs NVIDIA's driver for CUDA 12 and a card that is free (nvidia-smi tells)`
  const why = words
    .split('\n')[0]!
    // "...src/core/x.cc:12 void Type::function(arguments) what is wrong"
    .replace(/^.*\.(?:cc|h):\d+ (?:.*?\) )?/, '')
    .slice(0, 160)
  return `onnxruntime's ${provider} provider does not take the training step (${why}); train with --device cpu`
}

function identity(): Uint8Array {
  const g = new GraphBuilder('read')
  g.output(g.input('x', 'float32', [1]), 'y')
  g.graph.inputs[0] = { name: 'x', type: 'float32', shape: ['n'] }
  g.graph.outputs[0] = { name: 'y', type: 'float32', shape: ['n'] }
  return writeOnnx(g.graph)
}

/** Whether onnxruntime's CUDA libraries lie beside its binding: they are not in the default install. */
export function cudaLibraries(): boolean {
  const main = createRequire(import.meta.url).resolve('onnxruntime-node')
  const name = process.platform === 'win32' ? 'onnxruntime_providers_cuda.dll' : 'libonnxruntime_providers_cuda.so'
  return existsSync(join(dirname(main), '..', 'bin', 'napi-v6', process.platform, process.arch, name))
}
