import type { Message } from '@cadre/contract'

/** Whom a message is for, in a few words. */
export function recipientOf(message: Message): string {
  if (message.topic !== null) return `#${message.topic}`
  const [first] = message.recipients
  if (message.kind === 'broadcast') return `everyone (${message.recipient_count})`
  if (message.recipient_count > 1) return `${first ?? 'several'} and ${message.recipient_count - 1} more`
  return first ?? 'nobody'
}
