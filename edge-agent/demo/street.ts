/** The drawn street as a camera sees it: any time of it, in any weather, with its truth. */
import sharp from 'sharp'
import type { LabelledBox } from '../../protocol/primitives.ts'
import { backdrop } from './backdrop.ts'
import { type Random, randomOf } from './random.ts'
import { height, placedAt, truthOf, width } from './scene.ts'

export const conditions = ['day', 'dusk', 'rain', 'night'] as const
export type Condition = (typeof conditions)[number]

/** What a sensor makes of the light. */
interface Light {
  readonly lit: boolean
  /** Factor per channel, and exponent, of the scene's brightness. */
  readonly gain: readonly [number, number, number]
  readonly gamma: number
  /** Grey veil that rain and mist lay over everything. */
  readonly veil: number
  readonly blur: number
  /** Standard deviation of the sensor's noise, 0..255. */
  readonly noise: number
}

const lights: Readonly<Record<Condition, Light>> = {
  day: { lit: false, gain: [1.02, 1, 0.97], gamma: 1, veil: 0, blur: 0, noise: 3 },
  dusk: { lit: true, gain: [0.42, 0.31, 0.4], gamma: 1.25, veil: 0.02, blur: 0.6, noise: 11 },
  rain: { lit: true, gain: [0.3, 0.34, 0.4], gamma: 1.05, veil: 0.34, blur: 2, noise: 12 },
  night: { lit: true, gain: [0.16, 0.17, 0.26], gamma: 1.4, veil: 0.01, blur: 0.8, noise: 14 },
}

export interface StreetFrame {
  readonly width: number
  readonly height: number
  /** RGB */
  readonly data: Uint8Array
  readonly truth: LabelledBox[]
}

const backdrops = new Map<string, string>()

/** The same arguments give the same pixels. */
export async function renderStreet({
  seed,
  seconds,
  condition,
}: {
  seed: number
  seconds: number
  condition: Condition
}): Promise<StreetFrame> {
  const light = lights[condition]
  const things = placedAt({ seed, seconds, lit: light.lit })
  const key = `${seed} ${light.lit}`
  const behind = backdrops.get(key) ?? backdrop(seed, light.lit)
  backdrops.set(key, behind)
  const random = randomOf(seed, Math.round(seconds * 1000), 3)
  const weather = condition === 'rain' ? rain(random) : ''
  const wet = condition === 'rain' ? puddles(randomOf(seed, Math.floor(seconds / 5), 9)) : ''
  const svg = `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}">${behind}${wet}${things.map((each) => each.svg).join('')}${weather}</svg>`
  let image = sharp(Buffer.from(svg)).flatten({ background: '#000' }).removeAlpha()
  if (light.blur > 0.3) image = image.blur(light.blur)
  const data = await image.raw().toBuffer()
  expose(data, light, random)
  return { width, height, data, truth: truthOf(things) }
}

function rain(random: Random): string {
  const slant = random.between(-14, -4)
  const streaks = Array.from({ length: 150 }, () => {
    const [x, y, length] = [random.between(0, width + 20), random.between(-20, height), random.between(12, 38)]
    return `M${x.toFixed(0)} ${y.toFixed(0)}l${((slant * length) / 30).toFixed(1)} ${length.toFixed(0)}`
  })
  const drops = Array.from(
    { length: 9 },
    () =>
      `<circle cx="${random.between(0, width)}" cy="${random.between(0, height)}" r="${random.between(4, 13)}" fill="#dfe8ee" opacity=".22"/>`,
  )
  return `<path d="${streaks.join('')}" stroke="#e8f0f6" stroke-width="1.3" opacity=".5"/>${drops.join('')}`
}

function puddles(random: Random): string {
  return Array.from({ length: 7 }, () => {
    const [x, y, rx] = [random.between(0, width), random.between(300, height), random.between(30, 120)]
    return `<ellipse cx="${x}" cy="${y}" rx="${rx}" ry="${rx * 0.16}" fill="${random.pick(['#9fb2c2', '#c7d3dc', '#78889a'])}" opacity=".5"/>`
  }).join('')
}

const noiseTable = (() => {
  const random = randomOf(4711)
  return Float32Array.from({ length: 65_536 }, () => Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random()))
})()

/** Brightness, veil and noise of the sensor, in place. */
function expose(data: Uint8Array, { gain, gamma, veil, noise }: Light, random: Random): void {
  const curves = gain.map((factor) =>
    Float32Array.from({ length: 256 }, (_, value) => (255 * (value / 255) ** gamma * factor + veil * 150) / (1 + veil * 0.4)),
  )
  // The light of a street is never quite the same.
  const flicker = random.between(0.9, 1.1)
  let at = Math.floor(random() * 65_536)
  for (let i = 0; i < data.length; i++) {
    at = (at + 1) & 65_535
    const value = curves[i % 3]![data[i]!]! * flicker + noiseTable[at]! * noise
    data[i] = Math.min(255, Math.max(0, value))
  }
}
