/** Everything that a training run changes: what a checkpoint holds. */

export interface TrainerState {
  step: number
  parameters: Float32Array
  moment1: Float32Array
  moment2: Float32Array
  /** Exponential moving average of the parameters: what is evaluated and deployed. */
  average: Float32Array
  /** Running means and variances of the BatchNormalizations. */
  statistics: Float32Array
}

export function initialState(parameters: Float32Array, statistics: Float32Array): TrainerState {
  return {
    step: 0,
    parameters: parameters.slice(),
    moment1: new Float32Array(parameters.length),
    moment2: new Float32Array(parameters.length),
    average: parameters.slice(),
    statistics: statistics.slice(),
  }
}
