/** Finds out which dialect the CPU provider of this machine runs: the blocked layout is internal to onnxruntime, so it is probed, never assumed. */
import ort from 'onnxruntime-node'
import type { Dialect } from '../gradients/rule.ts'
import { GraphBuilder } from '../graph/builder.ts'
import { writeOnnx } from '../onnx/write.ts'

let probed: Promise<Dialect> | undefined

/** `nchwc16` (AVX512), `nchwc8` (AVX2, NEON) or `std` where the blocked ops are missing or behave otherwise. */
export function cpuDialect(): Promise<Dialect> {
  probed ??= probe()
  return probed
}

/** A reorder of 16 channels of 1 x 2 pixels shows the block size in the order of its numbers. */
async function probe(): Promise<Dialect> {
  const g = new GraphBuilder('probe')
  const x = g.input('x', 'float32', [1, 16, 1, 2])
  const y = g.opShaped('ReorderInput', [x], x.shape, { domain: 'com.microsoft.nchwc' })
  g.graph.outputs.push({ name: y.name, type: 'float32', shape: ['n', 'c', 'h', 'w'] })
  try {
    const session = await ort.InferenceSession.create(writeOnnx(g.graph), {
      graphOptimizationLevel: 'disabled',
      intraOpNumThreads: 1,
      logSeverityLevel: 4,
    })
    const { [y.name]: out } = await session.run({
      x: new ort.Tensor(
        'float32',
        Float32Array.from({ length: 32 }, (_, i) => i),
        [1, 16, 1, 2],
      ),
    })
    await session.release()
    // The number behind the first pixel's block is the second pixel of channel 0: 1.
    const block = (out!.data as Float32Array).indexOf(1)
    return block === 16 ? 'nchwc16' : block === 8 ? 'nchwc8' : 'std'
  } catch {
    // A build of onnxruntime without these ops: the standard ones do the same, more slowly.
    return 'std'
  }
}
