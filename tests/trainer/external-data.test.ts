/** Models whose weights lie in files beside them. */
import assert from 'node:assert/strict'
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { inspect } from '../../trainer/inspection/probe.ts'
import { withExternalData } from '../../trainer/onnx/external-data.ts'
import { floatTensor } from '../../trainer/onnx/graph.ts'
import { Model } from '../../trainer/onnx/proto.ts'
import { readOnnxFile } from '../../trainer/onnx/read.ts'

const place = (entries: Record<string, string>) => Object.entries(entries).map(([key, value]) => ({ key, value }))
const value = (name: string) => ({ name, type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 2 }] } } } })

/** y = x + w, whose w lies where `entries` say. */
const model = (entries: Record<string, string>) =>
  Model.encode(
    Model.fromObject({
      irVersion: 8,
      opsetImport: [{ domain: '', version: 17 }],
      graph: {
        name: 'g',
        node: [{ opType: 'Add', input: ['x', 'w'], output: ['y'] }],
        input: [value('x')],
        output: [value('y')],
        initializer: [{ name: 'w', dims: [2], dataType: 1, dataLocation: 1, externalData: place(entries) }],
      },
    }),
  ).finish()

describe('weights in files beside a model', () => {
  let folder: string
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'muninn-external-'))
    await mkdir(join(folder, 'weights'))
    await writeFile(join(folder, 'weights', 'w'), Float32Array.of(7, 7, 1, 2, 9))
    await writeFile(join(folder, 'two'), Float32Array.of(1, 2))
  })
  after(() => rm(folder, { recursive: true, force: true }))

  const saved = async (entries: Record<string, string>): Promise<string> => {
    const path = join(folder, 'model.onnx')
    await writeFile(path, model(entries))
    return path
  }

  it('are read at their offset, and run', async () => {
    const path = await saved({ location: 'weights/w', offset: '8', length: '8' })
    assert.deepEqual((await readOnnxFile(path)).initializers.get('w'), floatTensor([2], [1, 2]))
    const { run } = await inspect(path)
    assert.ok(run.can, run.why)
  })

  it('fill the rest of the file where no length is told', async () => {
    const path = await saved({ location: './two' })
    assert.deepEqual((await readOnnxFile(path)).initializers.get('w'), floatTensor([2], [1, 2]))
  })

  const refusals: readonly (readonly [what: string, entries: Record<string, string>, message: RegExp])[] = [
    ['that are missing', { location: 'gone.data' }, /gone\.data, which cannot be read: put it beside the model/],
    ['above the folder', { location: 'weights/../../passwd' }, /not named as one beside the model/],
    ['at a path of the machine', { location: '/etc/passwd' }, /not named as one beside the model/],
    ['nowhere', {}, /tensor w lies in another file/],
    ['in a folder', { location: 'weights' }, /weights, which is no file/],
    ['that are cut short', { location: 'two', length: '16' }, /has 8 bytes, the model wants 16: it is cut short/],
    ['of another size than the tensor', { location: 'two', length: '4' }, /tensor w has 4 bytes, its shape wants 8/],
    ['at no number', { location: 'two', offset: '-4' }, /tensor w has the offset '-4' in two/],
  ]
  for (const [what, entries, message] of refusals)
    it(`refuses those ${what}`, async () => {
      await assert.rejects(readOnnxFile(await saved(entries)), message)
    })

  it('refuses more of them than is taken', async () => {
    const file = model({ location: 'two' })
    await assert.rejects(withExternalData(join(folder, 'model.onnx'), file, file.length + 4), /larger than is taken/)
  })

  it('tells what the model is where they are missing', async () => {
    const { header, run, adopt } = await inspect(await saved({ location: 'gone.data' }))
    assert.deepEqual(header.ops, { Add: 1 })
    for (const each of [run, adopt]) assert.match(each.why, /gone\.data, which cannot be read/)
  })
})
