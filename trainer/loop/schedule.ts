/** How long and how fast: pure functions of the step. */

/** Warm-up over the first steps, then a cosine down to 5 % (SGDR, Loshchilov and Hutter 2017). */
export function rateAt(step: number, steps: number, peak: number): number {
  const warmUp = Math.min(100, Math.ceil(steps * 0.05))
  if (step < warmUp) return (peak * (step + 1)) / warmUp
  const share = (step - warmUp) / Math.max(1, steps - warmUp)
  return peak * (0.05 + 0.95 * 0.5 * (1 + Math.cos(Math.PI * share)))
}

/** Decay of the moving average: short at first, so that it leaves the start behind (as in TensorFlow's ExponentialMovingAverage). */
export function averageDecayAt(step: number): number {
  return Math.min(0.998, (1 + step) / (10 + step))
}

/** Epochs from the number of pictures when nobody chose: few pictures are seen more often. */
export function epochsFor(pictures: number): number {
  return Math.round(Math.min(150, Math.max(12, 1500 / Math.sqrt(Math.max(1, pictures)))))
}
