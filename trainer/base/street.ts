/** What a training starts from where nobody has a model yet: a network that has seen real streets needs fewer labels than random weights. */
import { readFile } from 'node:fs/promises'

export const streetBase = (): Promise<Uint8Array> => readFile(new URL('../../../trainer/base/street.onnx', import.meta.url))
