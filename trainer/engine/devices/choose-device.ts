/** `--device auto`: measures real steps on what there is and takes the quickest. */
import { MuninnError } from '../../../protocol/errors.ts'
import { type Device, devices } from './executor.ts'
import { cudaLibraries } from './ort-executor.ts'
import { nativeTensorFlow } from './tfjs/package.ts'

export type DeviceChoice = Device | 'auto'

/** What a few steps on a device showed; without `milliseconds` (of one picture) it cannot be used, and `words` say why. */
export interface Measurement {
  readonly device: Device
  readonly milliseconds: number | null
  /** What really computes, or what is against it. */
  readonly words: string
}

export interface Decision {
  readonly device: Device
  /** For the report: what was picked and why. */
  readonly reason: string
  /** What each device showed; those that cannot be used say why. */
  readonly measured: readonly Measurement[]
}

/** @throws MuninnError INVALID_INPUT */
export function parseDevice(text: string): DeviceChoice {
  const known = [...devices, 'auto' as const].find((each) => each === text)
  if (!known) throw new MuninnError('INVALID_INPUT', `--device ${text}: auto, ${devices.join(', ')} are known`)
  return known
}

/** Devices beside the processor that are worth a try here. */
export function rivals(): Device[] {
  return ['webgpu', ...(cudaLibraries() ? (['cuda'] as const) : []), ...(nativeTensorFlow() ? (['tfjs'] as const) : [])]
}

/** Pure: the quickest, in words that say what it was compared with. */
export function decide(measured: readonly Measurement[]): Decision {
  const told = ({ device, milliseconds, words }: Measurement) =>
    milliseconds === null ? `not ${device}: ${words}` : `${device} ${milliseconds.toFixed(1)} ms a picture (${words})`
  const slowest = Number.POSITIVE_INFINITY
  const [best, ...others] = measured.toSorted((a, b) => (a.milliseconds ?? slowest) - (b.milliseconds ?? slowest))
  if (!best || best.milliseconds === null)
    return { device: 'cpu', reason: ['for nothing else can here', ...measured.map(told)].join('; '), measured }
  return { device: best.device, reason: ['the quickest', told(best), ...others.map(told)].join('; '), measured }
}

/**
 * @param options.probe opens a device for this very training and measures a few of its steps; what it throws is the reason against the device
 * @param options.signal stops between two devices
 */
export async function chooseDevice({
  probe,
  signal,
}: {
  probe: (device: Device) => Promise<Omit<Measurement, 'device'>>
  signal?: AbortSignal
}): Promise<Decision> {
  const measured: Measurement[] = []
  const attempt = async (device: Device): Promise<void> => {
    signal?.throwIfAborted()
    try {
      measured.push({ device, ...(await probe(device)) })
    } catch (error) {
      measured.push({ device, milliseconds: null, words: error instanceof Error ? error.message : String(error) })
    }
  }
  for (const device of rivals()) await attempt(device)
  // The processor always can: it is measured only where there is something to measure it against.
  if (measured.some(({ milliseconds }) => milliseconds !== null)) await attempt('cpu')
  return decide(measured)
}
