/** A hub whose disk is full, on a real file system of a few megabytes: nothing is acknowledged that is not kept, and room is all it needs to go on. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readdirSync, rmdirSync, rmSync, statfsSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, it } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import sharp from 'sharp'
import { Enrolment, Overview } from '../../protocol/http/fleet.ts'
import { SamplePage } from '../../protocol/http/labelling.ts'
import type { Sample } from '../../protocol/topics.ts'
import { DevicePlayer } from '../support/device-player.ts'
import { startTestHub, type TestHub } from '../support/hub.ts'
import { sha256 } from '../support/labelled-sample.ts'
import { makeSample } from '../support/sample.ts'

/** Mounts a small file system; null where that is not allowed. */
function smallDisk(megabytes: number): { folder: string; unmount(): void } | null {
  const folder = mkdtempSync(join(tmpdir(), 'muninn-disk-'))
  const mounted = spawnSync('mount', ['-t', 'tmpfs', '-o', `size=${megabytes}m`, 'tmpfs', folder]).status === 0
  if (!mounted) {
    rmdirSync(folder)
    return null
  }
  return {
    folder,
    unmount: () => {
      spawnSync('umount', ['-l', folder])
      rmdirSync(folder)
    },
  }
}

const probe = smallDisk(1)
probe?.unmount()

/** A picture of noise, which no JPEG makes small. */
async function noisySample(seed: number, change: Partial<Sample> = {}): Promise<Sample> {
  const [width, height] = [320, 240]
  const pixels = Buffer.alloc(width * height * 3)
  let state = seed + 1
  for (let i = 0; i < pixels.length; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) | 0
    pixels[i] = state >>> 24
  }
  const jpeg = new Uint8Array(
    await sharp(pixels, { raw: { width, height, channels: 3 } })
      .jpeg({ quality: 95 })
      .toBuffer(),
  )
  return await makeSample(seed, { id: sha256(jpeg), jpeg, width, height, ...change })
}

const unavailable = async (test: TestHub) => {
  const text = String((await test.request('GET', '/metrics')).body)
  return Number(/^muninn_refused_messages_total\{kind="sample",code="UNAVAILABLE"\} (\d+)$/m.exec(text)?.[1] ?? 0)
}

const kept = async (test: TestHub) => new Set((await test.ask(SamplePage, 'GET', '/api/samples')).samples.map(({ id }) => id))

describe('a full disk', { skip: probe ? false : 'no file system may be mounted here', timeout: 120_000 }, () => {
  const cases: [string, (test: TestHub, seed: number) => Promise<Sample>][] = [
    ['in the file of a picture', (_test, seed) => noisySample(seed)],
    [
      'in the database',
      async (test, seed) => {
        // Its picture is there already; its row is what finds no room.
        const sample = await noisySample(seed, { embedding: new Uint8Array(200_000).fill(seed) })
        await test.hub.blobs.put(sample.jpeg)
        return sample
      },
    ],
  ]
  for (const [where, make] of cases)
    it(`${where}: no ack, told and counted, nothing lost, and on again without a restart when there is room`, async (t) => {
      const disk = smallDisk(16)!
      const test = await startTestHub(
        {
          after: (close) =>
            t.after(async () => {
              await close()
              disk.unmount()
            }),
        },
        { dataFolder: disk.folder },
      )
      const device = await DevicePlayer.connect(await test.ask(Enrolment, 'POST', '/api/devices', { id: 'gate-1' }))
      t.after(() => device.stop())
      const samples: Sample[] = []
      for (let seed = 0; seed < 6; seed++) samples.push(await make(test, seed))
      await device.sendSample(samples[0]!)
      assert.equal(await device.answerTo(samples[0]!.id), true)
      assert.equal((await test.request('GET', '/readyz')).status, 200)

      const filler = join(disk.folder, 'filler')
      const { bavail, bsize } = statfsSync(disk.folder)
      writeFileSync(filler, new Uint8Array(bavail * bsize - 40_000))
      for (const sample of samples.slice(1)) await device.sendSample(sample)
      const acked = () => new Set(device.acks.flatMap(({ ids }) => ids))
      while ((await unavailable(test)) + acked().size < samples.length) await sleep(50)
      const refused = await unavailable(test)
      assert.ok(refused > 0, 'some found no room')
      assert.deepEqual(acked(), await kept(test), 'just those are acknowledged that are kept')
      assert.deepEqual(
        device.acks.flatMap((ack) => ack.refused),
        [],
        'no device is told to forget one',
      )
      const answer = await test.request('GET', '/readyz')
      assert.equal(answer.status, 503)
      assert.match(JSON.stringify(answer.body), /UNAVAILABLE.*disk of the hub is full/)
      assert.equal((await test.ask(Overview, 'GET', '/api/overview')).disk.full, true)
      assert.deepEqual(readdirSync(join(disk.folder, 'blobs', 'aside')), [], 'no half-written file takes the room')

      rmSync(filler)
      assert.equal((await test.request('GET', '/readyz')).status, 200)
      assert.equal((await test.ask(Overview, 'GET', '/api/overview')).disk.full, false)
      // As the outbox does with what was not acknowledged.
      for (const sample of samples.filter(({ id }) => !acked().has(id))) {
        await device.sendSample(sample)
        assert.equal(await device.answerTo(sample.id), true)
      }
      assert.deepEqual(await kept(test), new Set(samples.map(({ id }) => id)))
      for (const { id } of samples) assert.equal(sha256(await test.hub.blobs.get(id)), id)
    })
})
