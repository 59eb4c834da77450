/** Methods that only pass their arguments on to an operation, from a table: written out, each cost a line of the bundle. */
import type { OperationName } from '@cadre/contract'
import { type Call, splitOptions } from './calls.ts'

/** `'agents.set_status id status'`: the operation, then the fields its positional arguments fill. Further fields and options come last. */
type Route = OperationName | `${OperationName} ${string}`

/** Makes the methods of `M` that `table` names. `M` declares their types; what is left out of a call is left out of the input. */
export function forwards<M>(call: Call, table: Readonly<Record<keyof M, Route>>): M {
  return Object.fromEntries(
    Object.entries<Route>(table).map(([method, route]) => {
      const [operation, ...names] = route.split(' ')
      return [
        method,
        (...given: unknown[]) => {
          const [options, fields] = splitOptions(given[names.length] ?? {})
          const input = Object.fromEntries(names.map((name, index) => [name, given[index]]))
          return call(operation as OperationName, { ...input, ...fields }, options)
        },
      ]
    }),
  ) as M
}
