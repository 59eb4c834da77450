import { useState } from 'react'
import { ApiError } from './api.ts'

export interface Action {
  busy: boolean
  /** Why the last one was refused. */
  problem: string | null
  /** Does it; false when it was refused. */
  act: (work: () => Promise<unknown>) => Promise<boolean>
}

/** Something to do on the server at a press: whether it is under way, and why it did not work. */
export function useAction(): Action {
  const [state, setState] = useState<{ busy: boolean; problem: string | null }>({ busy: false, problem: null })
  const act = async (work: () => Promise<unknown>) => {
    setState({ busy: true, problem: null })
    try {
      await work()
      setState({ busy: false, problem: null })
      return true
    } catch (error) {
      setState({ busy: false, problem: error instanceof ApiError ? `${error.title}. ${error.message}` : String(error) })
      return false
    }
  }
  return { ...state, act }
}
