/** Finds TensorFlow.js: none of its packages is in the default install, so the first that is there is taken. */
import { createRequire } from 'node:module'
import { MuninnError } from '../../../../protocol/errors.ts'
import type { TF } from './call.ts'

/** Quickest first; the last is what the tests have: the core with its backend in plain JavaScript. */
const packages = ['@tensorflow/tfjs-node-gpu', '@tensorflow/tfjs-node', '@tensorflow/tfjs', '@tensorflow/tfjs-core'] as const
const require = createRequire(import.meta.url)

const isThere = (name: string): boolean => {
  try {
    require.resolve(name)
    return true
  } catch {
    return false
  }
}

/** Whether there is a TensorFlow.js that is worth a measurement: those in plain JavaScript are slower than the processor's threads by far. */
export const nativeTensorFlow = (): boolean => packages.slice(0, 2).some(isThere)

/** @throws MuninnError UNAVAILABLE with the cure */
export async function loadTensorFlow(): Promise<{ tf: TF; name: string }> {
  const name = packages.find(isThere)
  if (!name)
    throw new MuninnError(
      'UNAVAILABLE',
      'TensorFlow.js is not installed: npm install @tensorflow/tfjs-node-gpu (CUDA), @tensorflow/tfjs-node (processor) or @tensorflow/tfjs (plain JavaScript)',
    )
  // tfjs-node 4.22 calls two functions that Node 23 took away.
  const util: object = require('node:util')
  Object.assign(util, {
    isNullOrUndefined: (value: unknown) => value === null || value === undefined,
    isArray: Array.isArray,
  })
  try {
    const tf: TF = require(name)
    if (name === '@tensorflow/tfjs-core') require('@tensorflow/tfjs-backend-cpu')
    await tf.ready()
    return { tf, name }
  } catch (cause) {
    const words = cause instanceof Error ? cause.message.split('\n')[0] : String(cause)
    throw new MuninnError('UNAVAILABLE', `${name} is installed and cannot be loaded: ${words}`, { cause })
  }
}
