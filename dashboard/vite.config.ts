import tailwindcss from '@tailwindcss/vite'
import react from '@vitejs/plugin-react'
import { defineConfig } from 'vite'

// `npx vite` in this folder edits the page against a server on port 8000; the origin is rewritten because the server refuses foreign ones.
const server = process.env.CADRE_URL ?? 'http://localhost:8000'
const proxied = { target: server, changeOrigin: true, headers: { origin: server } }

export const page = defineConfig({
  base: '/',
  plugins: [react(), tailwindcss()],
  build: {
    outDir: '../dist/dashboard',
    emptyOutDir: true,
    assetsDir: 'assets',
    // No data: URLs, so that the strictest content policy holds.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    target: 'es2023',
  },
  server: { proxy: { '/api': proxied, '/sign-in': proxied, '/ws': { ...proxied, ws: true } } },
})

// Vite asks for a default export.
export default page
