/** A worker that is killed between its steps and within them, and a server that is restarted while the task waits. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { readConfig } from '../../../server/src/config.ts'
import { type RunningServer, startServer } from '../../../server/src/server.ts'
import { verifies } from '../../../test/verifies.ts'
import { type Hub, type TaskHandle, connect } from '../src/index.ts'

verifies(
  'BYD-05',
  'killed with SIGKILL anywhere, a worker does no finished step twice; of the effect it left no word of, a person is asked',
  async (t) => {
    const place = await mkdtemp(join(tmpdir(), 'cadre-steps-crash-'))
    const effects = join(place, 'effects')
    let server: RunningServer | undefined
    let hub: Hub | undefined
    const children = new Set<ChildProcess>()
    const start = async (port: number) => {
      const config = readConfig({ CADRE_DATA: join(place, 'data'), CADRE_PORT: String(port), LOG_LEVEL: 'silent' })
      server = await startServer({ config, workerCommand: ['false'], assets: place })
      return server
    }
    t.after(async () => {
      for (const child of children) child.kill('SIGKILL')
      await hub?.close()
      await server?.close()
      await rm(place, { recursive: true, force: true })
    })
    const { url, port } = await start(0)
    /** Runs the worker; resolves with its end. */
    const work = (dies = '') => {
      const script = join(import.meta.dirname, 'step-worker.ts')
      const child = spawn(process.execPath, ['--disable-warning=ExperimentalWarning', script, url, effects, dies], {
        stdio: ['ignore', 'inherit', 'inherit'],
      })
      children.add(child)
      return once(child, 'exit').then(([, signal]) => {
        children.delete(child)
        return signal
      })
    }
    const lines = async () => (await readFile(effects, 'utf8')).trim().split('\n')
    const reaches = async (task: TaskHandle, state: string) => {
      for await (const seen of task.events()) if (seen.state === state) return
      assert.fail(`the task ended before it was ${state}`)
    }
    hub = await connect(url)
    await hub.agents.register({ name: 'worker' })
    const task = await hub.task.create({ title: 'letters', assign_to: 'worker', lease_ms: 400, max_retries: 10 })
    const { id } = task

    assert.equal(await work('between steps'), 'SIGKILL')
    assert.deepEqual(await lines(), ['plan'])
    assert.equal(await work('after the effect'), 'SIGKILL')
    assert.deepEqual(await lines(), ['plan', `mail ${id}/mail`])

    const asked = reaches(task, 'input_required')
    const third = work('after the answer')
    await asked
    const [question] = (await hub.call('inputs.list', { state: 'open' })).items
    assert.deepEqual([question?.kind, question?.step, question?.asked_by], ['outcome', 'mail', 'worker'])
    assert.deepEqual(await lines(), ['plan', `mail ${id}/mail`])
    await task.provideInput({ outcome: 'happened', result: 'message 7' })
    const open = async () => (await hub?.call('inputs.list', { state: 'open', task_id: id }))?.items[0]
    await reaches(task, 'input_required')
    assert.equal((await open())?.prompt, 'Which colour?')

    // Nothing runs while it waits; a restart of the server changes nothing.
    await hub.close()
    await server?.close()
    await start(port)
    hub = await connect(url)
    const again = hub.task.handle(id)
    await again.provideInput('red')
    assert.equal(await third, 'SIGKILL')
    assert.equal(await work('in a step that may be repeated'), 'SIGKILL')
    const approval = reaches(again, 'input_required')
    const last = work()
    await approval
    const [wanted] = (await hub.call('approvals.list', { state: 'open' })).items
    assert.deepEqual([wanted?.action, wanted?.args], ['print', { pages: ['red 1', 'red 2'] }])
    await hub.call('approvals.decide', { id: wanted?.id ?? '', approved: true, comment: 'in colour' })
    assert.deepEqual(await again.result(), {
      mail: 'message 7',
      pages: ['red 1', 'red 2'],
      approved: true,
      by: 'operator',
      comment: 'in colour',
    })
    // The page in which the worker died may be repeated, and was, under the same name; nothing else was.
    const page2 = `page ${id}/page 2`
    assert.deepEqual(await lines(), ['plan', `mail ${id}/mail`, `page ${id}/page 1`, page2, page2, 'end'])
    for (const child of children) child.kill('SIGKILL')
    await last
  },
  { timeout: 60_000 },
)
