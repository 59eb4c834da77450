/** A real server of its own for a test, and hubs on it that end with the test. */
import type { TestContext } from 'node:test'
import { type TestServer, startTestServer } from '../../../server/src/testing.ts'
import { type ConnectOptions, type Hub, connect } from '../src/index.ts'

export interface House {
  url: string
  server: TestServer
  readonly join: (agent: string | undefined, options?: ConnectOptions) => Promise<Hub>
}

export async function openHouse(t: TestContext): Promise<House> {
  const server = await startTestServer()
  const hubs: Hub[] = []
  t.after(async () => {
    await Promise.all(hubs.map((hub) => hub.close()))
    await server.close()
  })
  const url = `http://127.0.0.1:${server.port}`
  return {
    url,
    server,
    async join(agent, options) {
      const hub = await connect(url, { agent, ...options })
      hubs.push(hub)
      return hub
    },
  }
}
