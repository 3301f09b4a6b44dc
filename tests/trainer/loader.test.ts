/** Batches: the same whatever thread makes them, and whoever decoded their pictures. */
import assert from 'node:assert/strict'
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs'
import { getPriority, tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import { defaultRecipe } from '../../protocol/recipe.ts'
import { Loader } from '../../trainer/data/loader.ts'
import type { LabelledSample } from '../../trainer/data/sample.ts'
import { plainNetwork } from '../../trainer/detector/network.ts'
import { Random } from '../../trainer/detector/random.ts'
import { type Feeds, unshared } from '../../trainer/engine/feeds.ts'
import { loaderThreads, microBatches, sessionsOf } from '../../trainer/loop/plan.ts'
import { augmentationAt } from '../../trainer/loop/recipe.ts'

const [size, steps] = [64, 6]

describe('batches', () => {
  let folder = ''
  let samples: LabelledSample[] = []
  before(async () => {
    folder = mkdtempSync(join(tmpdir(), 'muninn-loader-'))
    samples = await Promise.all(
      Array.from({ length: 7 }, async (_, i) => {
        const path = join(folder, `${i}.png`)
        // Smaller and larger than what is kept of a picture.
        const [width, height] = i % 2 === 0 ? [50, 40] : [200, 150]
        const random = new Random(i)
        const data = Uint8Array.from({ length: width! * height! * 3 }, () => random.integer(256))
        await sharp(data, { raw: { width: width!, height: height!, channels: 3 } })
          .png()
          .toFile(path)
        return { path, labels: [{ box: [5, 5, 30, 25] as const, label: 0 }] }
      }),
    )
  })
  after(() => rmSync(folder, { recursive: true }))

  interface Making {
    threads: number
    cacheBytes: number
    from?: number
    /** Looks at each step's batches while the threads are there. */
    look?: (batches: readonly Feeds[]) => void | Promise<void>
  }

  async function made({ threads, cacheBytes, from = 0, look = () => {} }: Making) {
    const { specification } = plainNetwork({ width: size, height: size, classes: ['thing'], random: new Random(1) })
    const loader = new Loader({
      setup: {
        samples,
        shares: samples.map(() => 1),
        width: size,
        height: size,
        specification,
        batch: 2,
        parts: 4,
        seed: 5,
        cacheBytes,
      },
      augmentation: (step) => augmentationAt({ ...defaultRecipe, copyPaste: 0.3, mixup: 0.3 }, step, steps),
      threads,
    })
    try {
      const all: (readonly Feeds[])[] = []
      for (let step = from; step < steps; step++) {
        const batches = await loader.batches(step)
        all.push(batches.map(unshared))
        await look(batches)
      }
      return all
    } finally {
      await loader.stop()
    }
  }

  it('are the same with any number of threads, kept pictures or not, from any step on', async () => {
    const one = await made({ threads: 1, cacheBytes: 1e9 })
    assert.equal(one.length, steps)
    assert.notDeepEqual(one[0]![0]!.image!.data, one[0]![1]!.image!.data)
    assert.notDeepEqual(one[0]![0]!.image!.data, one[1]![0]!.image!.data)
    assert.deepEqual(await made({ threads: 3, cacheBytes: 1e9 }), one)
    // Room for two pictures only.
    assert.deepEqual(await made({ threads: 2, cacheBytes: 40_000 }), one)
    assert.deepEqual(await made({ threads: 2, cacheBytes: 1e9, from: 4 }), one.slice(4))
  })

  it('stay as they are until those of the next step are asked for, whatever is made ahead', async () => {
    const look = async (batches: readonly Feeds[]) => {
      const before = batches.map(unshared)
      // Long enough for three steps of eight small pictures.
      await sleep(300)
      assert.deepEqual(batches.map(unshared), before)
    }
    await made({ threads: 2, cacheBytes: 1e9, look })
  })

  it('are cut into passes of one picture where nothing joins them, of at most four where something does', () => {
    assert.deepEqual(microBatches(8, false), { parts: 8, micro: 1 })
    assert.deepEqual(microBatches(8, true), { parts: 2, micro: 4 })
    assert.deepEqual(microBatches(6, true), { parts: 2, micro: 3 })
  })

  it('are computed on all cores: by a session for each where they are many, by several threads of a session where they are few', () => {
    assert.deepEqual(sessionsOf(8, 2), { workers: 2, sessionThreads: 1 })
    assert.deepEqual(sessionsOf(2, 2), { workers: 2, sessionThreads: 1 })
    assert.deepEqual(sessionsOf(1, 2), { workers: 1, sessionThreads: 2 })
    assert.deepEqual(sessionsOf(2, 16), { workers: 2, sessionThreads: 8 })
    assert.deepEqual(sessionsOf(8, 4), { workers: 4, sessionThreads: 1 })
    // As many threads of a session with fewer sessions: their number decides how some numbers round.
    assert.deepEqual(sessionsOf(2, 16, 1), { workers: 1, sessionThreads: 8 })
  })

  it('come from a thread for each micro-batch, and for a device from as many as are made ahead, while a core is left', () => {
    assert.equal(loaderThreads('cpu', 2, 16), 2)
    assert.equal(loaderThreads('cpu', 4, 2), 2)
    assert.equal(loaderThreads('webgpu', 1, 16), 4)
    assert.equal(loaderThreads('webgpu', 1, 3), 2)
    assert.equal(loaderThreads('webgpu', 1, 1), 1)
  })

  it('come from threads that leave the cores to those that compute', {
    skip:
      (process.platform !== 'linux' && 'only Linux has a priority for each thread') ||
      (getPriority() === 19 && 'no priority is lower than that of the tests'),
  }, async () => {
    // proc_pid_stat(5): the 19th field is the nice value, the 17th behind the name in brackets.
    const niceness = () =>
      readdirSync('/proc/self/task').map((id) => {
        const [, rest] = readFileSync(`/proc/self/task/${id}/stat`, 'utf8').split(') ')
        return Number(rest!.split(' ')[16])
      })
    const before = niceness()
    let during: number[] = []
    await made({
      threads: 2,
      cacheBytes: 1e9,
      look: () => {
        during = niceness()
      },
    })
    const lower = Math.min(getPriority() + 15, 19)
    const aside = (some: readonly number[]) => some.filter((each) => each === lower).length
    assert.equal(aside(during), aside(before) + 2)
  })

  it('tell which picture cannot be decoded', async () => {
    const kept = samples
    samples = [{ ...samples[0]!, path: join(folder, 'gone.png') }]
    await assert.rejects(made({ threads: 2, cacheBytes: 1e9 }), { code: 'BAD_PICTURE', message: /gone\.png cannot be decoded/ })
    samples = kept
  })
})
