/** What a message says, reduced to what is compared. */
import { hash } from 'node:crypto'

const maxRead = 4_096

/**
 * The same for contents that differ in case, spaces and punctuation only; otherwise equal by accident once in four billion. Reads the
 * first 4,096 characters and the length.
 */
export function gist(content: unknown): number {
  const text = typeof content === 'string' ? content : textOf(content)
  const end = Math.min(text.length, maxRead)
  let mixed = text.length > maxRead ? text.length : 0
  let read = 0
  for (let index = 0; index < end; index++) {
    let code = text.charCodeAt(index)
    if (code >= 65 && code <= 90) code += 32
    else if (code < 48 || (code > 57 && code < 97) || (code > 122 && code < 128)) continue
    mixed = Math.imul(mixed ^ code, 0x01000193) + 0x7f4a7c15
    mixed ^= mixed >>> 15
    read += 1
  }
  // Nothing but punctuation: then that is what it says.
  if (read === 0) for (let index = 0; index < end; index++) mixed = Math.imul(mixed ^ text.charCodeAt(index), 0x01000193) + 1
  return mixed | 0
}

/** Differs for contents that differ at all. Long ones are digested, so that keeping a few costs no memory. */
export function exactly(content: unknown): string {
  const text = textOf(content)
  return text.length <= 64 ? text : hash('sha256', text, 'base64')
}

/** Content is looked at before its depth is checked: what is too deep to be written is refused further on, with the reason. */
function textOf(content: unknown): string {
  try {
    return JSON.stringify(content) ?? ''
  } catch {
    return ''
  }
}
