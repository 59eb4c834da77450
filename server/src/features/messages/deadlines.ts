/** Deadlines of requests may only shrink: what is asked while another request is answered is due no later than that one. */
import { CadreError } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Context } from '../../core/context.ts'
import type { Reader } from '../../drivers/database/port.ts'
import { messageSeq, metaOf, recipientsOf } from './envelope.ts'
import { getMessage } from './store.ts'

interface Asking {
  reply_to?: string | undefined
  conversation_id?: string | undefined
  timeout_ms: number
}

/** Milliseconds since the epoch at which the reply is due. Throws `deadline_exceeded` when the time of what it is asked for is over. */
export type DeadlineOf = (context: Context, input: Asking) => Promise<number>

export function makeDeadlines({ database, clock }: { database: Reader; clock: Clock }): DeadlineOf {
  /** When the caller has to have answered the message, if it was asked. */
  async function deadlineOf({ tenant, caller }: Context, id: string | undefined): Promise<number> {
    const seq = id === undefined ? undefined : messageSeq(id)
    const row = seq === undefined ? undefined : await getMessage(database, tenant, seq)
    const isAsked = row !== undefined && recipientsOf(row).includes(caller.id)
    return (isAsked ? metaOf(row).deadline : undefined) ?? Number.POSITIVE_INFINITY
  }

  return async (context, input) => {
    const now = clock.now()
    const own = now + input.timeout_ms
    const answered = await deadlineOf(context, input.reply_to)
    if (answered <= now)
      throw new CadreError('deadline_exceeded', {
        timeout_ms: 0,
        conversation_id: input.conversation_id ?? input.reply_to,
      })
    // A conversation goes on after the request that it is named by: only while that is open does it set the time.
    const opening = await deadlineOf(context, input.conversation_id)
    return Math.min(own, answered, opening > now ? opening : Number.POSITIVE_INFINITY)
  }
}
