/** Records a CPU profile of this process. */
import { writeFileSync } from 'node:fs'
import { Session } from 'node:inspector/promises'

let recording: Session | undefined

export async function startRecording(): Promise<void> {
  recording = new Session()
  recording.connect()
  await recording.post('Profiler.enable')
  await recording.post('Profiler.setSamplingInterval', { interval: 200 })
  await recording.post('Profiler.start')
}

export async function stopRecording(file: string): Promise<void> {
  const session = recording
  recording = undefined
  if (!session) return
  const { profile } = await session.post('Profiler.stop')
  session.disconnect()
  writeFileSync(file, JSON.stringify(profile))
}
