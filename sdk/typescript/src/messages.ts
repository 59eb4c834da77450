/** Sending: every promise resolves once the message is stored; what became of it then is asked of its receipt. */
import type { Delivery, InputOf, Message } from '@cadre/contract'
import { pack, unpack } from './binary.ts'
import { type Call, type CallOptions, type Named, type RequestOptions, splitOptions } from './calls.ts'
import { type Sent, makeReceipts } from './receipts.ts'

type Fields<N extends 'messages.send' | 'messages.ask' | 'messages.reply' | 'messages.publish'> = Omit<
  Named<InputOf<N>>,
  'to' | 'recipients' | 'broadcast' | 'content' | 'topic' | 'reply_to' | 'receipt' | 'sender_id' | 'timeout_ms'
>
export type SendOptions = Fields<'messages.send'> & { reply_to?: string } & CallOptions
export type AskOptions = Fields<'messages.ask'> & CallOptions
export type ReplyOptions = Fields<'messages.reply'> & CallOptions
export type PublishOptions = Fields<'messages.publish'> & CallOptions

const usualAnswerTime = 30_000
/** The server's own deadline answers first; ours is for a server that does not. */
const answerMargin = 1_000

/** The sender knows what it sent; the answer need not carry it back. */
const minimal = { return: 'minimal' } as const

/** Content is any JSON, or bytes as a whole: a Uint8Array, another view or an ArrayBuffer, which arrive as a Uint8Array. */
export interface Messages {
  /** To one agent or several, by id or name. Resolves once stored by the server, also when that has to wait for a connection. */
  send(to: string | readonly string[], content: unknown, options?: SendOptions): Promise<Sent>
  /** Sends a request and waits for the reply, `timeout` milliseconds at most (30 s unless given); then `deadline_exceeded`. */
  ask(to: string, content: unknown, options?: AskOptions): Promise<Message>
  reply(to: string | Pick<Delivery, 'id'>, content: unknown, options?: ReplyOptions): Promise<Sent>
  /** To every other agent. */
  broadcast(content: unknown, options?: SendOptions): Promise<Sent>
  /** To those subscribed now. */
  publish(topic: string, content: unknown, options?: PublishOptions): Promise<Sent>
}

export function makeMessages(call: Call, now: () => number): Messages {
  const onAnswer = makeReceipts(call, now)
  const post = (name: 'messages.send' | 'messages.reply' | 'messages.publish', content: unknown, to: object, given = {}) => {
    const [options, fields]: [RequestOptions, object] = splitOptions(given)
    options.onAnswer = onAnswer
    return call(name, { ...fields, ...to, content: pack(content), ...minimal }, options)
  }
  // The type of an answer follows what was asked for; see `return` in the contract.
  const messages: { [K in keyof Messages]: (...of: Parameters<Messages[K]>) => Promise<unknown> } = {
    send: (to, content, given) => post('messages.send', content, { to }, given),
    async ask(to, content, given = {}) {
      const [options, fields] = splitOptions(given)
      const timeout_ms = options.timeout ?? usualAnswerTime
      const timeout = timeout_ms + answerMargin
      const input = { ...fields, to, content: pack(content), timeout_ms }
      return unpack((await call('messages.ask', input, { ...options, timeout })).reply)
    },
    reply: (to, content, given) => post('messages.reply', content, { reply_to: typeof to === 'string' ? to : to.id }, given),
    broadcast: (content, given) => post('messages.send', content, { broadcast: true }, given),
    publish: (topic, content, given) => post('messages.publish', content, { topic }, given),
  }
  return messages as Messages
}
