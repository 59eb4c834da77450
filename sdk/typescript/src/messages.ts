/** Sending: every promise resolves once the message is stored. */
import type { Delivery, InputOf, Message, OutputOf } from '@cadre/contract'
import { type Call, type CallOptions, type Named, splitOptions } from './calls.ts'

type Fields<N extends 'messages.send' | 'messages.ask' | 'messages.reply' | 'messages.publish'> = Omit<
  Named<InputOf<N>>,
  'to' | 'recipients' | 'broadcast' | 'content' | 'topic' | 'reply_to' | 'receipt' | 'sender_id' | 'timeout_ms'
>
export type SendOptions = Fields<'messages.send'> & { reply_to?: string } & CallOptions
export type AskOptions = Fields<'messages.ask'> & CallOptions
export type ReplyOptions = Fields<'messages.reply'> & CallOptions
export type PublishOptions = Fields<'messages.publish'> & CallOptions
type Sent = OutputOf<'messages.send'>

const usualAnswerTime = 30_000
/** The server's own deadline answers first; ours is for a server that does not. */
const answerMargin = 5_000

export interface Messages {
  /** To one agent or several, by id or name. */
  send(to: string | readonly string[], content: unknown, options?: SendOptions): Promise<Sent>
  /** Sends a request and waits for the reply, `timeout` milliseconds at most (30 s unless given); then `deadline_exceeded`. */
  ask(to: string, content: unknown, options?: AskOptions): Promise<Message>
  reply(to: string | Pick<Delivery, 'id'>, content: unknown, options?: ReplyOptions): Promise<Sent>
  /** To every other agent. */
  broadcast(content: unknown, options?: SendOptions): Promise<Sent>
  /** To those subscribed now. */
  publish(topic: string, content: unknown, options?: PublishOptions): Promise<Sent>
}

export function makeMessages(call: Call): Messages {
  return {
    send(to, content, given = {}) {
      const [options, fields] = splitOptions(given)
      return call('messages.send', { ...fields, to: typeof to === 'string' ? to : [...to], content }, options)
    },
    async ask(to, content, given = {}) {
      const [options, fields] = splitOptions(given)
      const timeout_ms = options.timeout ?? usualAnswerTime
      const timeout = timeout_ms + answerMargin
      return (await call('messages.ask', { ...fields, to, content, timeout_ms }, { ...options, timeout })).reply
    },
    reply(to, content, given = {}) {
      const [options, fields] = splitOptions(given)
      return call('messages.reply', { ...fields, reply_to: typeof to === 'string' ? to : to.id, content }, options)
    },
    broadcast(content, given = {}) {
      const [options, fields] = splitOptions(given)
      return call('messages.send', { ...fields, broadcast: true, content }, options)
    },
    publish(topic, content, given = {}) {
      const [options, fields] = splitOptions(given)
      return call('messages.publish', { ...fields, topic, content }, options)
    },
  }
}
