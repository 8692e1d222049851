/** Room for the keyboard of a phone where the browser lays it over the page, as Safari does (others make the page smaller). */
export function followKeyboard(): void {
  const viewport = window.visualViewport;
  if (viewport === null) return;
  const fit = () => {
    const covered = viewport.scale === 1 && window.innerHeight - viewport.height > 1;
    const { style } = document.documentElement;
    if (covered) style.setProperty('--room', `${viewport.height}px`);
    else style.removeProperty('--room');
    // It has moved the page up, to show the field.
    if (covered && viewport.offsetTop > 0) window.scrollTo(0, 0);
  };
  viewport.addEventListener('resize', fit);
}
