/**
 * Call something that sometimes fails, without making matters worse.
 *
 * The pause doubles after each failure and has a random share, so that a thousand callers who were
 * refused together do not come back together and knock over a machine that is just getting up.
 * The last failure is thrown as it is.
 */
export async function retry(call, { attempts = 5, firstPause = 200 } = {}) {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await call();
    } catch (error) {
      if (attempt >= attempts) throw error;
      const pause = firstPause * 2 ** (attempt - 1) * (0.5 + Math.random());
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }
}
