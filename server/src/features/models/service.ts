/** Model calls. Agents never call a provider themselves: what limits, records and pays for calls stands here. */
import { CadreError } from '@cadre/contract'
import type { Clock } from '../../core/clock.ts'
import type { Caller } from '../../core/context.ts'
import type { Handlers } from '../../core/invoke.ts'
import type { Database, Tx } from '../../drivers/database/port.ts'
import { ModelError, type ModelPort, type ModelRequest } from '../../drivers/model/port.ts'

export interface ModelsParts {
  database: Database
  clock: Clock
  model: ModelPort
  checkLease: (tx: Tx, write: { task: string; lease: string | undefined; caller: Caller; strict: boolean }) => Promise<void>
}

export function makeModels(parts: ModelsParts): { handlers: Pick<Handlers, 'models.generate' | 'models.info'> } {
  const { database, clock, model } = parts
  return {
    handlers: {
      'models.generate': async (context, input) => {
        const { task_id, lease, timeout_ms, ...request } = input
        if (task_id !== undefined) {
          const strict = context.session?.mode === 'leased'
          await database.transaction((tx) => parts.checkLease(tx, { task: task_id, lease, caller: context.caller, strict }))
        }
        const began = clock.now()
        const signal = AbortSignal.any([context.signal, AbortSignal.timeout(timeout_ms)])
        try {
          for await (const event of model.generate(withoutUndefined(request) as ModelRequest, { signal })) {
            if (event.type === 'delta') context.delta?.(event.index, { text: event.text })
            else {
              const { type: _, ...result } = event
              await context.write(async (tx) => {
                const { provider, model: name, finish_reason, usage } = result
                tx.emit({
                  type: 'model.generated',
                  subject: task_id ?? null,
                  task: task_id ?? null,
                  data: {
                    provider,
                    model: name,
                    finish_reason,
                    usage,
                    duration_ms: clock.now() - began,
                    task_id: task_id ?? null,
                  },
                })
                return {}
              })
              return result
            }
          }
        } catch (error) {
          if (error instanceof ModelError)
            throw new CadreError(
              'model_failed',
              { reason: error.message, kind: error.kind, retry_after_ms: error.retry_after_ms },
              { cause: error },
            )
          throw error
        }
        throw new CadreError('model_failed', { reason: 'The model ended without a result.' })
      },
      'models.info': async () => ({ provider: model.provider, model: model.model, offline: model.provider === 'offline' }),
    },
  }
}

const withoutUndefined = (value: object): object =>
  Object.fromEntries(Object.entries(value).filter(([, item]) => item !== undefined))
