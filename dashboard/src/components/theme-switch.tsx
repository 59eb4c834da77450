import { useState } from 'react'

type Theme = 'light' | 'dark' | 'system'
const key = 'cadre.theme'
const choices: readonly { theme: Theme; label: string; path: string }[] = [
  {
    theme: 'light',
    label: 'Light theme',
    path: 'M8 5.250a2.750 2.750 0 1 0 0 5.500 2.750 2.750 0 0 0 0-5.500ZM8 1.500v1M8 13.500v1M1.500 8h1M13.500 8h1M3.400 3.400l.7.7M11.900 11.900l.7.7M12.600 3.400l-.7.7M4.100 11.900l-.7.7',
  },
  { theme: 'dark', label: 'Dark theme', path: 'M13.250 9.500A5.750 5.750 0 0 1 6.500 2.750a5.750 5.750 0 1 0 6.750 6.750Z' },
  { theme: 'system', label: 'Theme of the system', path: 'M2.500 3.250h11v7.500h-11zM6 13.500h4M8 10.750v2.750' },
]

function stored(): Theme {
  try {
    const value = localStorage.getItem(key)
    return value === 'light' || value === 'dark' ? value : 'system'
  } catch {
    return 'system'
  }
}

export function ThemeSwitch() {
  const [theme, setTheme] = useState(stored)
  const choose = (next: Theme) => {
    setTheme(next)
    if (next === 'system') delete document.documentElement.dataset.theme
    else document.documentElement.dataset.theme = next
    try {
      localStorage.setItem(key, next)
    } catch {
      // Storage is blocked: the choice lasts as long as the page.
    }
  }
  return (
    <div role="group" aria-label="Theme" className="flex rounded-lg border border-line bg-raised p-0.5">
      {choices.map((choice) => (
        <button
          key={choice.theme}
          type="button"
          aria-label={choice.label}
          title={choice.label}
          aria-pressed={theme === choice.theme}
          onClick={() => choose(choice.theme)}
          className="grid size-6 place-items-center rounded-md text-faint hover:text-ink aria-pressed:bg-surface aria-pressed:text-ink aria-pressed:shadow-card aria-pressed:ring-1 aria-pressed:ring-line"
        >
          <svg
            viewBox="0 0 16 16"
            width="14"
            height="14"
            fill="none"
            stroke="currentColor"
            strokeWidth="1.400"
            strokeLinecap="round"
            aria-hidden="true"
          >
            <path d={choice.path} />
          </svg>
        </button>
      ))}
    </div>
  )
}
