/**
 * Notes what passes over a client's socket as facts of a history: what it sends before it is sent, what comes when it comes. It stands
 * below the SDK, so that what the SDK sends again by itself is noted too.
 */
import type { Bounce, Delivery } from '@cadre/contract'
import type { SocketClass, SocketLike } from '../../sdk/typescript/src/index.ts'
import type { Fact } from '../history/history.ts'

export type Note = (fact: Fact) => void

interface Frame {
  type: string
  id?: string
  ref?: string
  key?: string
  ok?: boolean
  seq?: number
  ack?: number
  data?: Record<string, unknown>
}

let sockets = 0

/** A WebSocket class for the SDK of this agent. `position` is the order the sender means, when content tells it. */
export function recordedSocket(agent: string, note: Note, position: (content: unknown) => number | undefined): SocketClass {
  const native = globalThis.WebSocket as unknown as SocketClass
  // Delivery number to receipt, of what no acknowledgement has covered. A resumed connection acknowledges what its forerunner was sent.
  const receipts = new Map<number, string>()
  return class implements SocketLike {
    readonly #socket: SocketLike
    readonly #recorder: ReturnType<typeof makeRecorder>

    constructor(url: string, protocols?: string[]) {
      sockets += 1
      this.#recorder = makeRecorder(agent, `${agent} ${process.pid} ${sockets}`, receipts, note, position)
      this.#socket = new native(url, protocols)
      this.#socket.addEventListener('message', (event) => this.#recorder.came((event as { data: string }).data))
      this.#socket.addEventListener('close', () => this.#recorder.ended())
    }
    send(text: string): void {
      this.#recorder.goes(text)
      this.#socket.send(text)
    }
    close(code?: number, reason?: string): void {
      this.#socket.close(code, reason)
    }
    addEventListener(...of: Parameters<SocketLike['addEventListener']>): void {
      this.#socket.addEventListener(...of)
    }
  }
}

function makeRecorder(
  agent: string,
  session: string,
  receipts: Map<number, string>,
  note: Note,
  position: (content: unknown) => number | undefined,
) {
  const calls = new Map<string, { call: string } | { receipts: readonly string[] } | { rejected: string }>()

  const frames = (text: string): Frame[] => [JSON.parse(text) as Frame | Frame[]].flat()

  function goes(frame: Frame): void {
    const { type, data = {}, id } = frame
    if (type === 'flow') {
      const covered = [...receipts].filter(([seq]) => seq <= (frame.ack ?? 0))
      for (const [seq] of covered) receipts.delete(seq)
      if (covered.length > 0) note({ fact: 'settle', agent, receipts: covered.map(([, receipt]) => receipt) })
    } else if (type === 'messages.acknowledge' && id !== undefined) {
      const given = [data['receipts'] as string | string[]].flat()
      calls.set(id, { receipts: given })
      note({ fact: 'settle', agent, receipts: given })
    } else if (type === 'messages.reject' && id !== undefined) {
      calls.set(id, { rejected: data['receipt'] as string })
    } else if (type === 'messages.send' && id !== undefined) {
      const call = `${session} ${id}`
      const place = position(data['content'])
      calls.set(id, { call })
      note({
        fact: 'send',
        call,
        sender: agent,
        to: [data['to'] as string | string[]].flat(),
        body: JSON.stringify(data['content']),
        ...(frame.key !== undefined && { key: frame.key }),
        ...(typeof data['conversation_id'] === 'string' && { conversation: data['conversation_id'] }),
        ...(place !== undefined && { position: place }),
      })
    }
  }

  function came(frame: Frame): void {
    if (frame.type === 'message:received') {
      const delivery = frame.data as unknown as Partial<Delivery> & Pick<Delivery, 'id' | 'receipt' | 'sender'>
      const seq = frame.seq ?? 0
      receipts.set(seq, delivery.receipt)
      if (delivery.kind === 'system' && delivery.type === 'message.bounced') {
        const { message_id, recipient, status } = delivery.content as Bounce
        return note({ fact: 'bounced', agent, id: message_id, recipient, status })
      }
      note({
        fact: 'delivered',
        agent,
        session,
        id: delivery.id,
        sender: delivery.sender,
        body: JSON.stringify(delivery.content),
        receipt: delivery.receipt,
        // Short frames leave out what is as usual.
        attempt: delivery.attempt ?? 1,
        replay: delivery.replay ?? false,
        conversation: delivery.conversation_id ?? delivery.id,
        sender_seq: delivery.sender_seq ?? 1,
        seq,
      })
    }
    if (frame.data?.['resumed'] === false) receipts.clear()
    const call = frame.type === 'ack' && frame.ref !== undefined ? calls.get(frame.ref) : undefined
    if (!call || frame.ref === undefined) return
    calls.delete(frame.ref)
    answered(call, frame.ok === true, frame.data ?? {})
  }

  function answered(
    call: { call: string } | { receipts: readonly string[] } | { rejected: string },
    ok: boolean,
    data: Record<string, unknown>,
  ): void {
    if ('call' in call) {
      const code = String(data['code'])
      if (!ok) return note({ fact: 'send-failed', call: call.call, code: code === 'draining' ? 'unknown' : code })
      const { id, seq, duplicate } = data['receipt'] as { id: string; seq: number; duplicate: boolean }
      note({ fact: 'stored', call: call.call, id, seq, duplicate, sender_seq: data['sender_seq'] as number })
    } else if ('rejected' in call) {
      const state = data['state'] === 'dead' ? 'dead' : 'ready'
      if (ok) note({ fact: 'given-back', agent, receipt: call.rejected, outcome: state })
    } else if (ok && (data['already'] === 0 || data['acknowledged'] === 0)) {
      const outcome = data['already'] === 0 ? 'acknowledged' : 'already'
      for (const receipt of call.receipts) note({ fact: 'settled', agent, receipt, outcome })
    }
  }

  return {
    goes: (text: string) => frames(text).forEach(goes),
    came: (text: string) => frames(text).forEach(came),
    ended(): void {
      for (const call of calls.values()) if ('call' in call) note({ fact: 'send-failed', call: call.call, code: 'unknown' })
      calls.clear()
    },
  }
}
