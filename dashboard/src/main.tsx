import { createRoot } from 'react-dom/client'
import { App } from './app.tsx'
import { createStore } from './live.ts'
import './styles.css'

const store = createStore()
store.start()
createRoot(document.getElementById('root')!).render(<App store={store} />)
