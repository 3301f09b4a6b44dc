/** How far a training is: one line that is drawn over in a terminal, a line now and then elsewhere. */
import type { TrainingProgress } from '../loop/train.ts'

const barWidth = 20
/** Lines for a log file, over the whole training. */
const lines = 40

export const duration = (seconds: number): string =>
  seconds < 90
    ? `${seconds.toFixed(0)} s`
    : seconds < 5400
      ? `${(seconds / 60).toFixed(1)} min`
      : `${(seconds / 3600).toFixed(1)} h`

export function progressLine(
  { step, steps, epoch, losses, imagesPerSecond, etaSeconds }: TrainingProgress,
  mAP50: number | null,
): string {
  const share = step / steps
  const bar = '█'.repeat(Math.round(share * barWidth)).padEnd(barWidth, '░')
  const parts = [
    `${bar} ${(share * 100).toFixed(0).padStart(3)} %`,
    `step ${step}/${steps}`,
    `epoch ${epoch.toFixed(1)}`,
    `loss ${losses.loss?.toFixed(3) ?? '—'}`,
    ...(mAP50 === null ? [] : [`mAP50 ${mAP50.toFixed(3)}`]),
    `${imagesPerSecond.toFixed(1)} img/s`,
    `${duration(etaSeconds)} left`,
  ]
  return parts.join('  ')
}

export class ProgressDisplay {
  readonly #out: Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'write'>
  #drawn = false

  constructor({ out = process.stdout }: { out?: Pick<NodeJS.WriteStream, 'isTTY' | 'columns' | 'write'> } = {}) {
    this.#out = out
  }

  /** Said above the line that is drawn over. */
  log(words: string): void {
    this.#out.write(`${this.#drawn ? '\r\x1b[K' : ''}${words}\n`)
    this.#drawn = false
  }

  training(progress: TrainingProgress, mAP50: number | null): void {
    const { step, steps } = progress
    this.#show(progressLine(progress, mAP50), step === steps, step % Math.max(1, Math.round(steps / lines)) === 0)
  }

  counting(what: string, done: number, of: number): void {
    this.#show(`${what} ${done}/${of}`, done === of, false)
  }

  #show(line: string, last: boolean, telling: boolean): void {
    if (!this.#out.isTTY) {
      if (telling || last) this.#out.write(`${line}\n`)
      return
    }
    // A line longer than the terminal would wrap and could not be drawn over.
    this.#out.write(`\r${line.slice(0, Math.max(20, (this.#out.columns ?? 100) - 1))}\x1b[K${last ? '\n' : ''}`)
    this.#drawn = !last
  }
}
