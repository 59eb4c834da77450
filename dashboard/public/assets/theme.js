// Runs before the first paint, so that a chosen theme never flashes in the other one. A file, not inline: the content policy forbids inline.
try {
  const chosen = localStorage.getItem('cadre.theme')
  if (chosen === 'light' || chosen === 'dark') document.documentElement.dataset.theme = chosen
} catch {
  // Storage is blocked: the system's theme it is.
}
