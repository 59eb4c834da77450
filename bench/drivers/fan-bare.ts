/** The bare server of `ws`: what comes over its control line is sent to everyone. */
import type { FanDriver } from '../lib/drivers.ts'

export const driver: FanDriver = {
  voice: (mode) => ({
    path: '/',
    count: () => 1,
    control: { path: '/control' },
    order: (contents) => JSON.stringify({ prepared: mode === 'prepared', contents }),
  }),
  durability: () => Promise.resolve('none'),
}
