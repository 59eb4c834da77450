/**
 * Power losses: the server is killed, and of what it wrote only that is left which a disk must keep, plus what it may have kept by chance.
 * The shim under test/power-loss sees each write and each sync of the server.
 */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Agent, Delivery, Message, OutputOf } from '@cadre/contract'
import { openSocket, temporaryFolder } from '../../server/src/testing.ts'
import { checkHistory } from '../history/check.ts'
import { type Fact, describe } from '../history/history.ts'
import { type Disk, type PowerLoss, buildShim, findCompiler, makeDisk } from '../power-loss/disk.ts'
import { type FaultPlan, runWithFaults } from './faults.ts'
import { launch } from './program.ts'
import { makeRandom } from './random.ts'

const full = process.env['CADRE_TEST_FULL'] === '1'
const losses = full ? 60 : 4
const messages = full ? 6_000 : 600
const seed = Number(process.env['CADRE_CRASH_SEED'] ?? 20_260_102)

const found = findCompiler()
const skip = 'missing' in found && !process.env['CI'] ? found.missing : false

function prepare(t: { after(undo: () => void): void }): { journals: string; library: string } {
  assert.ok('compiler' in found, 'CI has a C compiler')
  const work = temporaryFolder()
  t.after(() => work.remove())
  return { journals: `${work.path}/journals`, library: buildShim(found.compiler, work.path) }
}

void test(`${losses} power losses under load: nothing lost, nothing done twice, nothing out of order`, {
  skip,
  timeout: 1_200_000,
}, async (t) => {
  const { journals, library } = prepare(t)
  const random = makeRandom(seed)
  const seen: PowerLoss[] = []
  const writes: number[] = []
  let disk: Disk | undefined
  const plan: FaultPlan = {
    messages,
    senders: 2,
    receivers: 2,
    talks: 8,
    serverEnds: Array.from({ length: losses }, () => 'kill'),
    senderKills: 0,
    receiverKills: 0,
    random,
    settings: (folder) => (disk = makeDisk(folder, journals, library)).settings,
    afterEnd() {
      const counts = disk?.counts()
      assert.ok(counts && counts.writes > 0 && counts.syncs > 0, 'the writes of the server pass the shim')
      assert.equal(counts.foreign, 0, 'and none in a way that it does not know')
      writes.push(counts.writes)
      const lost = disk?.losePower(seen.length % 3 === 0 ? 'none' : 'some', random)
      if (lost) seen.push(lost)
    },
    limit: full ? 1_000_000 : 90_000,
  }
  const run = await runWithFaults(plan, (undo) => t.after(undo))
  const sum = (field: keyof PowerLoss) => seen.reduce((total, loss) => total + loss[field], 0)
  const count = (fact: Fact['fact']) => run.history.filter((each) => each.fact === fact).length
  t.diagnostic(
    `${seen.length} power losses took ${sum('unsynced') - sum('kept')} of ${sum('unsynced')} unsynced writes and tore ${sum('torn')}; ` +
      `${writes.reduce((total, each) => total + each, 0)} writes seen; ` +
      `${count('send')} sends, ${count('delivered')} deliveries, ${count('effect')} effects`,
  )
  assert.equal(seen.length, losses)
  assert.ok(sum('unsynced') > 0, 'there was something to lose')
  const violations = checkHistory(run.history)
  assert.equal(violations.length, 0, describe(violations))
})

/** Stores messages, loses power, and lets their receiver have what is left. */
async function storeAndLosePower(t: { after(undo: () => unknown): void }, liesAbout?: string): Promise<Fact[]> {
  const { journals, library } = prepare(t)
  const data = temporaryFolder()
  const disk = makeDisk(data.path, journals, library, liesAbout)
  const settings = { CADRE_DATA: data.path, LOG_LEVEL: 'silent' }
  let server = await launch(settings)
  t.after(async () => {
    await server.end('SIGKILL')
    data.remove()
  })
  const { token } = await server.call<{ token: string }>('POST', '/agents/register', { name: 'bob' })
  // Stopped in good order, so that everything up to here is safe on any disk.
  assert.equal(await server.end('SIGTERM'), 0)
  server = await launch({ ...settings, ...disk.settings })

  const history: Fact[] = []
  const count = 200
  const sender = await openSocket(server.socketUrl)
  const { name } = { name: 'operator' }
  await Promise.all(
    Array.from({ length: count }, async (_, number) => {
      const call = `call ${number}`
      history.push({ fact: 'send', call, sender: name, to: ['bob'], key: `key ${number}`, body: JSON.stringify(number) })
      const sent = await sender.call<OutputOf<'messages.send'>>('message:send', { to: 'bob', content: number }, `key ${number}`)
      history.push({ fact: 'stored', call, id: sent.id, seq: sent.receipt.seq, duplicate: sent.receipt.duplicate })
    }),
  )
  sender.terminate()
  await server.end('SIGKILL')
  disk.losePower('none', makeRandom(seed))

  server = await launch(settings)
  const bob = await openSocket(server.socketUrl)
  await bob.call('agent:register', { name: 'bob', token, credits: 1_000 })
  const depth = async () => (await server.call<Agent>('GET', '/agents/bob')).inbox_depth
  const waiting = await depth()
  for (let taken = 0; taken < waiting; taken++) {
    const { data: delivery } = await bob.next<Delivery & Pick<Message, 'sender'>>('message:received')
    const { id, content, receipt, attempt, replay } = delivery
    const body = JSON.stringify(content)
    history.push({ fact: 'delivered', agent: 'bob', session: 'after', id, sender: name, body, receipt, attempt, replay })
    history.push({ fact: 'settle', agent: 'bob', receipts: [receipt] })
    await bob.call('message:ack', { receipts: [receipt] })
    history.push({ fact: 'settled', agent: 'bob', receipt, outcome: 'acknowledged' })
  }
  history.push({ fact: 'final', depths: { bob: await depth() }, drained: true })
  bob.terminate()
  return history
}

void test('what was acknowledged to its sender survives a disk that loses everything unsynced', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const violations = checkHistory(await storeAndLosePower(t))
  assert.equal(violations.length, 0, describe(violations))
})

// Without this, the two above could pass because the shim takes nothing away.
void test('a disk that lies about syncs of the log loses messages, and the judge says so', {
  skip,
  timeout: 60_000,
}, async (t) => {
  const violations = checkHistory(await storeAndLosePower(t, '-wal'))
  const lost = violations.filter(({ invariant, fault }) => invariant === 'N1' && fault === 'lost')
  assert.ok(lost.length >= 100, `${lost.length} lost messages were found: ${describe(violations)}`)
})
