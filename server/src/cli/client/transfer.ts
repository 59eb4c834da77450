/** Files: bytes that travel outside of JSON. */
import { createReadStream, createWriteStream } from 'node:fs'
import { stat, unlink } from 'node:fs/promises'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { printAnswer } from './answer.ts'
import { Failure, exitCodes, usage } from './failure.ts'
import { bytes } from './look.ts'
import type { Plan } from './plan.ts'
import { call, explain, open } from './rest.ts'
import type { Settings } from './settings.ts'
import { type Terminal, write } from './terminal.ts'
import { findFile, unreadable } from './values.ts'

const mediaTypes: Readonly<Record<string, string>> = {
  txt: 'text/plain',
  md: 'text/markdown',
  csv: 'text/csv',
  json: 'application/json',
  html: 'text/html',
  pdf: 'application/pdf',
  png: 'image/png',
  jpg: 'image/jpeg',
  svg: 'image/svg+xml',
}

export async function upload(
  plan: Plan,
  input: Record<string, unknown>,
  file: string,
  settings: Settings,
  terminal: Terminal,
): Promise<void> {
  let source: Readable = terminal.stdin
  const named = { ...input }
  if (file !== '-') {
    const path = await findFile(terminal, file)
    try {
      if ((await stat(path)).isDirectory()) throw Object.assign(new Error(path), { code: 'EISDIR' })
    } catch (error) {
      throw unreadable(file, error)
    }
    source = createReadStream(path)
    const name = path.replaceAll('\\', '/').split('/').at(-1) as string
    named['name'] ??= name
    const type = mediaTypes[/\.(\w+)$/.exec(name)?.[1]?.toLowerCase() ?? '']
    if (type !== undefined) named['media_type'] ??= type
  }
  try {
    const answer = await call(settings.connection, plan.operation, named, { upload: source, timeoutMs: settings.timeoutMs })
    await printAnswer(plan, answer, settings, terminal)
  } finally {
    source.destroy()
  }
}

export async function download(
  plan: Plan,
  input: Record<string, unknown>,
  output: string | undefined,
  settings: Settings,
  terminal: Terminal,
): Promise<void> {
  if (output === undefined && (settings.json || settings.jsonl))
    throw usage('The answer is the bytes themselves; with --json say where to put them: --output <file>.')
  const response = await open(settings.connection, plan.operation, input, { timeoutMs: settings.timeoutMs })
  const mediaType = response.headers['content-type'] ?? 'application/octet-stream'
  if (output === undefined) {
    if (terminal.stdoutIsTty && !/^text\/|json|xml/.test(mediaType)) {
      response.destroy()
      throw usage(`This is ${mediaType}; say where to put it: --output <file>.`)
    }
    try {
      for await (const chunk of response) {
        if (!terminal.stdout.write(chunk)) await write(terminal, '')
      }
    } catch (error) {
      throw explain(settings.connection, error, settings.timeoutMs)
    }
    return
  }
  let size = 0
  response.on('data', (chunk: Buffer) => {
    size += chunk.length
  })
  try {
    await pipeline(response, createWriteStream(output, { flags: 'wx' }), { signal: terminal.signal })
  } catch (error) {
    const { code } = error as { code?: string }
    if (code === 'EEXIST')
      throw new Failure(exitCodes.conflict, `The file ${output} exists; choose another name.`, { cause: error })
    if (code === 'ENOENT' || code === 'EACCES' || code === 'EISDIR' || code === 'ENOSPC')
      throw new Failure(exitCodes.failed, `The file ${output} cannot be written (${code}).`, { cause: error })
    await unlink(output).catch(() => {})
    throw explain(settings.connection, error, settings.timeoutMs)
  }
  if (settings.json || settings.jsonl)
    await write(terminal, `${JSON.stringify({ id: input['id'], media_type: mediaType, size, output })}\n`)
  else if (!settings.quiet) await write(terminal, `${terminal.colours.green('✓')} ${output}  ${bytes(size)}  ${mediaType}\n`)
}
