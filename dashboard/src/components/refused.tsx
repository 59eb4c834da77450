import type { ApiError } from '../api.ts'
import { Command } from './copy-button.tsx'
import { Logo } from './header.tsx'
import { ThemeSwitch } from './theme-switch.tsx'

interface Props {
  problem: ApiError | null
  retry: () => void
}

/** In place of the page: not signed in, not allowed, or no server. */
export function Refused({ problem, retry }: Props) {
  const { title, text, command } = explain(problem)
  return (
    <main className="grid min-h-dvh place-items-center px-4 py-10">
      <div className="w-full max-w-md rounded-xl border border-line bg-surface p-6 shadow-card sm:p-8">
        <div className="flex items-center justify-between">
          <Logo size={32} />
          <ThemeSwitch />
        </div>
        <h1 className="mt-6 text-xl font-semibold tracking-tight">{title}</h1>
        <p className="mt-2 text-base text-muted">{text}</p>
        <p className="mt-5 mb-2 text-sm text-muted">
          {problem?.status === 401 ? 'No link at hand? This prints a new one:' : 'On the machine of the server:'}
        </p>
        <Command text={command} />
        <button
          type="button"
          onClick={retry}
          className="mt-5 inline-flex h-9 w-full items-center justify-center rounded-md bg-accent px-3 text-base font-medium text-on-accent hover:opacity-90"
        >
          Try again
        </button>
        {problem !== null && problem.status !== 401 && <p className="mt-4 text-sm break-words text-faint">{problem.message}</p>}
      </div>
    </main>
  )
}

function explain(problem: ApiError | null): { title: string; text: string; command: string } {
  if (problem?.status === 401)
    return {
      title: 'Sign in to the control room',
      text: 'Open the one-time link that the server printed when it started. It signs this browser in and leads back here; each link works once.',
      command: 'npx cadre link',
    }
  if (problem?.status === 403)
    return {
      title: 'This sign-in may not look here',
      text: 'The control room reads agents, messages, tasks and the log. Sign in with a link that grants reading all of them.',
      command: 'npx cadre link',
    }
  return {
    title: 'The server does not answer',
    text: 'It may be stopped or just starting. This page tries again by itself and shows everything as soon as it is back.',
    command: 'npm start',
  }
}
