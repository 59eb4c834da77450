/** A system that loses tasks, or does them twice, by the length of the chain that it is given: for the checks of the benchmark. */
import type { TaskDriver } from './lib/drivers.ts'

const repetitions: readonly number[] = [0, 0, 2, 1]

export const driver: TaskDriver = {
  openWorker: undefined,
  openSubmitter: (_settings, ran) =>
    Promise.resolve({
      task: () => Promise.resolve(),
      chain(name: string, length: number) {
        for (let step = 0; step < length; step++)
          for (let time = 0; time < (repetitions[length] ?? 1); time++) ran(`${name}/${step}`)
        return new Promise<void>((resolve) => setImmediate(resolve))
      },
      fan: undefined,
      close: () => Promise.resolve(),
    }),
  durability: () => Promise.resolve('none'),
}
