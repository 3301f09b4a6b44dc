/** The same training steps on every executor: losses, gradients and updates against onnxruntime's processor threads. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, describe, it } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import sharp from 'sharp'
import { Type } from 'typebox'
import { parseJson } from '../../protocol/parse.ts'
import { decide, parseDevice } from '../../trainer/engine/devices/choose-device.ts'
import { DeviceRunner } from '../../trainer/engine/devices/device-runner.ts'
import type { Device } from '../../trainer/engine/devices/executor.ts'
import { cardFrom } from '../../trainer/engine/devices/graphics-card.ts'
import type { Runner, StepResult } from '../../trainer/engine/runner.ts'
import { StepRunner } from '../../trainer/engine/step-runner.ts'
import type { TrainerState } from '../../trainer/engine/trainer-state.ts'
import { type TinyHead, tinyStep } from '../support/tiny-step.ts'

const steps = 3
const rates = { rate: 1e-3, averageDecay: 0.9 }

interface Course {
  readonly results: readonly StepResult[]
  readonly state: TrainerState
}

async function course(make: (options: ReturnType<typeof tinyStep>['options']) => Runner, head: TinyHead): Promise<Course> {
  const { options, feeds } = tinyStep(head)
  const runner = make(options)
  await runner.start()
  try {
    const results: StepResult[] = []
    for (let i = 0; i < steps; i++) results.push(await runner.run([feeds], rates))
    await runner.sync()
    return { results, state: options.state }
  } finally {
    await runner.stop()
  }
}

const onProcessor = (head: TinyHead) => course((options) => new StepRunner({ ...options, workers: 1 }), head)
const references = { distances: onProcessor('distances'), yolox: onProcessor('yolox') }

/** Distance of two vectors over the length of the second. */
function distance(ours: Float32Array, theirs: Float32Array): number {
  let [apart, length] = [0, 0]
  for (const [i, value] of theirs.entries()) {
    apart += (ours[i]! - value) ** 2
    length += value ** 2
  }
  return Math.sqrt(apart / length)
}

/** With a head whose cells are fixed before the step, and with one that chooses them within it. */
async function hasTheSameCourse(device: Device, env?: NodeJS.ProcessEnv): Promise<{ description: string; software: boolean }> {
  await sameCourse(device, 'yolox', env)
  return await sameCourse(device, 'distances', env)
}

async function sameCourse(device: Device, head: TinyHead, env?: NodeJS.ProcessEnv) {
  let runner!: DeviceRunner
  let told!: { description: string; software: boolean }
  const ours = await course((options) => {
    runner = new DeviceRunner({ ...options, device, env })
    const stop = runner.stop.bind(runner)
    runner.stop = async () => {
      told = await runner.describe()
      await stop()
    }
    return runner
  }, head)
  const theirs = await references[head]
  for (const [i, { losses, norm, skipped }] of ours.results.entries()) {
    const wanted = theirs.results[i]!
    assert.equal(skipped, false)
    for (const [name, value] of Object.entries(wanted.losses))
      assert.ok(
        Math.abs(losses[name]! - value) <= 2e-4 * Math.abs(value) + 1e-6,
        `step ${i}: ${name} is ${losses[name]}, wanted ${value}`,
      )
    assert.ok(Math.abs(norm - wanted.norm) < 1e-3 * wanted.norm, `step ${i}: the norm is ${norm}, wanted ${wanted.norm}`)
  }
  assert.equal(ours.state.step, steps)
  // moment1 is a mean of the gradients, so it holds the gradient itself to the same tolerance.
  for (const [name, tolerance] of [
    ['parameters', 1e-4],
    ['average', 1e-4],
    ['statistics', 1e-4],
    ['moment1', 2e-3],
    ['moment2', 4e-3],
  ] as const) {
    const apart = distance(ours.state[name], theirs.state[name])
    assert.ok(apart < tolerance, `${name} is ${apart} apart, at most ${tolerance} is allowed`)
  }
  return told
}

/** Debian's Chromium brings a Vulkan driver that draws on the processor. */
const swiftShader = '/usr/lib/chromium/vk_swiftshader_icd.json'
const runtime = mkdtempSync(join(tmpdir(), 'muninn-devices-'))
after(() => rmSync(runtime, { recursive: true }))
const withSwiftShader: NodeJS.ProcessEnv = {
  ...process.env,
  LD_LIBRARY_PATH: '/usr/lib/chromium',
  VK_ICD_FILENAMES: swiftShader,
  XDG_RUNTIME_DIR: runtime,
}

describe('a training step', () => {
  it('is the same in one fused graph as in the processor threads', async () => {
    const { description } = await hasTheSameCourse('cpu')
    assert.equal(description, 'cpu')
  })

  it('is the same on WebGPU, which is told to be drawn in software', {
    skip: !existsSync(swiftShader) && 'no SwiftShader here',
  }, async () => {
    const { description, software } = await hasTheSameCourse('webgpu', withSwiftShader)
    assert.equal(description, 'webgpu (SwiftShader, in software)')
    assert.ok(software)
  })
})

describe('a training step on TensorFlow.js', () => {
  it('is the same as in the processor threads, and says what computes', async () => {
    const { description, software } = await hasTheSameCourse('tfjs')
    assert.match(description, /^tfjs \(@tensorflow\/tfjs\S*, backend \w+, computes on \w+/)
    assert.equal(software, false)
  })
})

describe('a device', () => {
  it('that is not there is told with the cure', async () => {
    const { options } = tinyStep()
    const nowhere = { ...process.env, VK_ICD_FILENAMES: '/nowhere.json', VK_DRIVER_FILES: '/nowhere.json' }
    const webgpu = new DeviceRunner({ ...options, device: 'webgpu', env: nowhere })
    await assert.rejects(webgpu.start(), { code: 'UNAVAILABLE', message: /no graphics card.*libvulkan/ })
    await webgpu.stop()
    const cuda = new DeviceRunner({ ...options, device: 'cuda' })
    await assert.rejects(cuda.start(), { code: 'UNAVAILABLE', message: /ONNXRUNTIME_NODE_INSTALL=cuda12/ })
    await cuda.stop()
  })

  it('leaves the state as it was at a gradient that is not finite, and names the first parameter with one in the end', async () => {
    const { options, feeds } = tinyStep()
    const runner = new DeviceRunner({ ...options, device: 'cpu' })
    await runner.start()
    const { data, ...rest } = feeds.target!
    const bad = { ...feeds, target: { ...rest, data: Float32Array.from(data as Float32Array, () => Number.NaN) } }
    try {
      await runner.run([feeds], rates)
      await runner.sync()
      const before = structuredClone(options.state)
      assert.equal((await runner.run([bad], rates)).skipped, true)
      await runner.sync()
      assert.deepEqual(options.state, before)
      assert.equal((await runner.run([feeds], rates)).skipped, false)
      for (let i = 0; i < 9; i++) await runner.run([bad], rates)
      await assert.rejects(runner.run([bad], rates), /gradient of stem\.weight was NaN/)
    } finally {
      await runner.stop()
    }
  })

  it('that goes away in the midst of a step takes only its own process with it', async () => {
    const { options, feeds } = tinyStep()
    const runner = new DeviceRunner({ ...options, device: 'cpu' })
    await runner.start()
    const pending = assert.rejects(runner.run([feeds], rates), {
      code: 'UNAVAILABLE',
      message: /process of the device ended \(SIGKILL\)/,
    })
    await runner.stop()
    await pending
  })

  it('is a graphics card only when the kernel leads to one', () => {
    const loaded = ['/usr/lib/libvulkan_lvp.so', '/usr/lib/libvulkan_radeon.so']
    assert.deepEqual(cardFrom({ open: ['/dev/dri/renderD128'], loaded }), { name: '/dev/dri/renderD128', software: false })
    assert.deepEqual(cardFrom({ open: ['/dev/null'], loaded }), { name: 'llvmpipe, in software', software: true })
    assert.deepEqual(cardFrom({ open: [], loaded: ['/opt/libvk_swiftshader.so'] }), {
      name: 'SwiftShader, in software',
      software: true,
    })
    assert.deepEqual(cardFrom({ open: [], loaded: [] }), { name: 'in software', software: true })
  })
})

describe('the choice of a device', () => {
  const cpu = { device: 'cpu', milliseconds: 30.12, words: 'cpu (2 threads)' } as const
  const gpu = { device: 'webgpu', milliseconds: 3.456, words: 'webgpu (/dev/nvidia0)' } as const
  const missing = { device: 'cuda', milliseconds: null, words: 'no libraries' } as const

  it('takes the quickest and says what it was compared with', () => {
    assert.deepEqual(decide([missing, gpu, cpu]), {
      device: 'webgpu',
      reason:
        'the quickest; webgpu 3.5 ms a picture (webgpu (/dev/nvidia0)); cpu 30.1 ms a picture (cpu (2 threads)); not cuda: no libraries',
      measured: [missing, gpu, cpu],
    })
    assert.equal(decide([{ ...gpu, milliseconds: 31 }, cpu]).device, 'cpu')
  })

  it('is the processor where nothing else can', () => {
    const reason = 'for nothing else can here; not cuda: no libraries'
    assert.deepEqual(decide([missing]), { device: 'cpu', reason, measured: [missing] })
  })

  it('names the devices there are when it does not know one', () => {
    assert.equal(parseDevice('auto'), 'auto')
    assert.throws(() => parseDevice('gpu'), { code: 'INVALID_INPUT', message: /auto, cpu, webgpu, cuda, tfjs/ })
  })

  it('does not fall for a processor that poses as a graphics card, and the run says so', {
    skip: !existsSync(swiftShader) && 'no SwiftShader here',
  }, async () => {
    const folder = join(runtime, 'data')
    for (const part of ['images', 'labels']) mkdirSync(join(folder, part), { recursive: true })
    writeFileSync(join(folder, 'data.yaml'), 'names: [box]\n')
    for (const i of [1, 2]) {
      const create = { width: 64, height: 64, channels: 3, background: { r: 40 * i, g: 90, b: 200 } } as const
      await sharp({ create })
        .jpeg()
        .toFile(join(folder, 'images', `${i}.jpg`))
      writeFileSync(join(folder, 'labels', `${i}.txt`), '0 0.5 0.5 0.4 0.4\n')
    }
    const out = join(runtime, 'out')
    const cli = fileURLToPath(new URL('../../cli/main.js', import.meta.url))
    const flags = ['--data', folder, '--out', out, '--size', '64', '--batch', '1', '--epochs', '1', '--device', 'auto']
    const { stdout } = await promisify(execFile)(process.execPath, [cli, 'train', ...flags], { env: withSwiftShader })
    const found = /trains on (cpu \(\d+ threads\), for nothing else can here)/.exec(stdout)
    const against = /not (webgpu: webgpu \(SwiftShader, in software\).*)/.exec(stdout)
    assert.ok(found && against, stdout)
    const report = parseJson(Type.Object({ device: Type.String() }), readFileSync(join(out, 'report.json'), 'utf8'), 'report')
    assert.ok(report.device.startsWith(`${found[1]}; not ${against[1]}`), report.device)
  })
})
