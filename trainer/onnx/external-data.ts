/**
 * Tensors that a model keeps in files beside it ("external data" of the ONNX specification) are taken into it. PyTorch's newer exporter
 * writes model.onnx and model.onnx.data unless it is told otherwise.
 */
import { open } from 'node:fs/promises'
import { dirname, isAbsolute, join, normalize } from 'node:path'
import { MuninnError } from '../../protocol/errors.ts'
import { Model } from './proto.ts'
import { bad, integer, list, type Raw, text } from './raw.ts'

/** TensorProto.DataLocation */
const external = 1

/**
 * The same model as one file; `file` itself when nothing of it lies elsewhere.
 * @param path where the model lies: its data are sought in the same folder, never outside of it
 * @param most bytes, of the model and its data together
 * @throws MuninnError BAD_MODEL naming the data file that is missing or too short, TOO_LARGE
 */
export async function withExternalData(path: string, file: Uint8Array, most: number): Promise<Uint8Array> {
  // Every tensor that lies elsewhere says where: most files are told apart without taking them apart.
  if (!Buffer.from(file.buffer, file.byteOffset, file.byteLength).includes('location')) return file
  let model: Raw
  try {
    model = Model.decode(file) as unknown as Raw
  } catch {
    // Told in words by who reads it next.
    return file
  }
  const outside = tensorsOf(model).filter(({ dataLocation }) => integer(dataLocation) === external)
  if (outside.length === 0) return file
  let taken = file.length
  for (const tensor of outside) {
    const { location, offset, length } = placeOf(tensor)
    const data = await bytesAt(join(dirname(path), location), { offset, length, most: most - taken })
    taken += data.length
    Object.assign(tensor, { rawData: data, dataLocation: 0, externalData: [] })
  }
  return Model.encode(model).finish()
}

/** Initialisers, and the values of Constant nodes. */
function tensorsOf({ graph }: Raw): Raw[] {
  const { initializer, node } = (graph ?? {}) as Raw
  const constants = list(node).flatMap(({ attribute }) => list(attribute).flatMap(({ t }) => (t ? [t as Raw] : [])))
  return [...list(initializer), ...constants]
}

interface Place {
  readonly location: string
  readonly offset: number
  /** Undefined: to the end of the file. */
  readonly length: number | undefined
}

function placeOf(tensor: Raw): Place {
  const name = text(tensor.name)
  const told = new Map(list(tensor.externalData).map(({ key, value }) => [text(key), text(value)]))
  const location = normalize(told.get('location') ?? '').replaceAll('\\', '/')
  if (location === '.' || isAbsolute(location) || location.split('/').includes('..') || location.includes('\0'))
    throw bad(`tensor ${name} lies in another file, which is not named as one beside the model; save the model as one file`)
  const size = (key: string) => {
    const value = told.get(key)
    if (value !== undefined && !/^\d{1,15}$/.test(value)) throw bad(`tensor ${name} has the ${key} '${value}' in ${location}`)
    return value === undefined ? undefined : Number(value)
  }
  return { location, offset: size('offset') ?? 0, length: size('length') }
}

async function bytesAt(path: string, { offset, length, most }: Omit<Place, 'location'> & { most: number }): Promise<Uint8Array> {
  const handle = await open(path, 'r').catch((cause) => {
    throw bad(`its weights lie in ${path}, which cannot be read: put it beside the model, or save the model as one file`, cause)
  })
  try {
    const found = await handle.stat()
    if (!found.isFile()) throw bad(`its weights lie in ${path}, which is no file`)
    const wanted = length ?? Math.max(0, found.size - offset)
    if (offset + wanted > found.size)
      throw bad(`${path} has ${found.size} bytes, the model wants ${offset + wanted}: it is cut short, or another model's`)
    if (wanted > most) throw new MuninnError('TOO_LARGE', `the model and the data beside it are larger than is taken`)
    const data = Buffer.alloc(wanted)
    await handle.read(data, 0, wanted, offset)
    return data
  } finally {
    await handle.close()
  }
}
