/**
 * Durable samples a second of 100 kB into the hub, over what a raw aedes, and a Mosquitto that is named, relay of messages of the same size;
 * in turns in one run.
 *
 *   npm run bench:ingest [-- mqtt://127.0.0.1:1883]
 */
import { createServer } from 'node:net'
import { Aedes } from 'aedes'
import { encode } from 'cborg'
import mqtt from 'mqtt'
import sharp from 'sharp'
import { Enrolment } from '../../protocol/http/fleet.ts'
import { parse } from '../../protocol/parse.ts'
import type { Sample } from '../../protocol/topics.ts'
import { DevicePlayer } from '../support/device-player.ts'
import { startTestHub } from '../support/hub.ts'
import { sha256 } from '../support/labelled-sample.ts'

const rounds = 3
const perRound = 200
const inFlight = 16

/** Noise does not compress: about 100 kB at this size and quality. */
async function noisySample(): Promise<Sample> {
  const [width, height] = [480, 360]
  const raw = Buffer.from(crypto.getRandomValues(new Uint8Array(60_000)))
  const noise = Buffer.alloc(width * height * 3)
  for (let at = 0; at < noise.length; at += raw.length) raw.copy(noise, at)
  const jpeg = await sharp(noise, { raw: { width, height, channels: 3 } })
    .jpeg({ quality: 76 })
    .toBuffer()
  return {
    v: 1,
    id: sha256(jpeg),
    camera: 'camera-1',
    capturedAt: Date.now(),
    width,
    height,
    jpeg: new Uint8Array(jpeg),
    model: null,
    detections: [],
    reasons: ['cold-start'],
    score: 0.5,
    audit: false,
  }
}

async function hubRate(device: DevicePlayer, samples: readonly Sample[]): Promise<number> {
  const began = performance.now()
  const waiting = [...samples]
  const worker = async () => {
    for (let sample = waiting.pop(); sample; sample = waiting.pop()) await device.sendSample(sample)
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  for (const { id } of samples) await device.answerTo(id)
  return (samples.length / (performance.now() - began)) * 1000
}

async function relayRate(url: string, samples: readonly Sample[]): Promise<number> {
  const [from, to] = [mqtt.connect(url, { clientId: 'from' }), mqtt.connect(url, { clientId: 'to' })]
  await to.subscribeAsync('samples', { qos: 1 })
  const payloads = samples.map((sample) => Buffer.from(encode(sample)))
  const began = performance.now()
  const arrived = new Promise<void>((resolve) => {
    let count = 0
    to.on('message', () => {
      if (++count === samples.length) resolve()
    })
  })
  const waiting = [...payloads]
  const worker = async () => {
    for (let payload = waiting.pop(); payload; payload = waiting.pop()) await from.publishAsync('samples', payload, { qos: 1 })
  }
  await Promise.all(Array.from({ length: inFlight }, worker))
  await arrived
  const rate = (samples.length / (performance.now() - began)) * 1000
  await Promise.all([from.endAsync(true), to.endAsync(true)])
  return rate
}

const closing: (() => Promise<void>)[] = []
const test = await startTestHub({ after: (close) => void closing.push(close) })
const device = await DevicePlayer.connect(
  parse(Enrolment, (await test.request('POST', '/api/devices', { id: 'gate-1' })).body, 'enrolment'),
)
const aedes = await Aedes.createBroker()
const relay = createServer((socket) => void aedes.handle(socket))
await new Promise<void>((resolve) => relay.listen(0, '127.0.0.1', () => resolve()))
const address = relay.address()
const aedesUrl = `mqtt://127.0.0.1:${typeof address === 'object' && address ? address.port : 0}`
const mosquittoUrl = process.argv[2]

const rates: Record<string, number[]> = { hub: [], aedes: [], ...(mosquittoUrl && { mosquitto: [] }) }
for (let round = 0; round < rounds; round++) {
  const samples = await Promise.all(Array.from({ length: perRound }, noisySample))
  rates.hub!.push(await hubRate(device, samples))
  rates.aedes!.push(await relayRate(aedesUrl, samples))
  if (mosquittoUrl) rates.mosquitto!.push(await relayRate(mosquittoUrl, samples))
  if (round === 0) console.log(`a sample has ${(samples[0]!.jpeg.length / 1000).toFixed(0)} kB`)
}
const median = (values: readonly number[]) => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!
for (const [name, values] of Object.entries(rates))
  console.log(`${name.padEnd(10)} ${median(values).toFixed(0)} a second  (${values.map((value) => value.toFixed(0)).join(', ')})`)
for (const name of Object.keys(rates).slice(1))
  console.log(`hub / ${name}: ${(median(rates.hub!) / median(rates[name]!)).toFixed(2)}`)
await device.stop()
relay.close()
await new Promise<void>((resolve) => aedes.close(() => resolve()))
for (const close of closing) await close()
