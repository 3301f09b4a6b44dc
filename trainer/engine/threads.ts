/** `--threads`: how many of the machine's cores a command may keep busy. */
import { availableParallelism } from 'node:os'
import { MuninnError } from '../../protocol/errors.ts'

/**
 * All cores when left out. Told in so many words, for onnxruntime's own default is a thread for every core of the machine, each pinned to
 * its core, also to those that a container or `taskset` keeps from this process.
 * @param flag the command's name for it
 * @throws MuninnError INVALID_INPUT
 */
export function parseThreads(text: string | undefined, flag = 'threads'): number {
  const cores = availableParallelism()
  if (text === undefined) return cores
  const threads = Number(text)
  if (!Number.isInteger(threads) || threads < 1 || threads > cores)
    throw new MuninnError('INVALID_INPUT', `--${flag} ${text}: a whole number from 1 to ${cores}, the cores here, is wanted`)
  return threads
}
