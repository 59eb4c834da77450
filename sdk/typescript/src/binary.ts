/**
 * Bytes within JSON. Content that is bytes (a Uint8Array or other view, an ArrayBuffer) travels as `{ "$binary": "<base64>" }`, and
 * content of exactly that shape arrives as a Uint8Array. Only content as a whole: fields within it are JSON and stay as they are.
 */
export function pack(content: unknown): unknown {
  const bytes = ArrayBuffer.isView(content)
    ? new Uint8Array(content.buffer, content.byteOffset, content.byteLength)
    : content instanceof ArrayBuffer && new Uint8Array(content)
  if (!bytes) return content
  let text = ''
  for (const byte of bytes) text += String.fromCharCode(byte)
  return { $binary: btoa(text) }
}

/** Turns packed content of a message back, in place; what is no base64 stays as it came. */
export function unpack<T extends { content?: unknown }>(message: T): T {
  const content = message.content as { $binary?: unknown } | null | undefined
  const text = content?.$binary
  if (typeof text === 'string' && Object.keys(content as object).length === 1) {
    try {
      message.content = Uint8Array.from(atob(text), (character) => character.charCodeAt(0))
    } catch {}
  }
  return message
}
