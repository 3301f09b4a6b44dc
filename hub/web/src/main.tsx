/** Entry of the page. */
import '@mantine/core/styles.css'
import '@mantine/charts/styles.css'
import '@mantine/notifications/styles.css'
import { Badge, createTheme, MantineProvider } from '@mantine/core'
import { ModalsProvider } from '@mantine/modals'
import { Notifications } from '@mantine/notifications'
import { MutationCache, QueryCache, QueryClient, QueryClientProvider } from '@tanstack/react-query'
import { createRoot } from 'react-dom/client'
import { BrowserRouter } from 'react-router'
import { ApiError } from './api.ts'
import { App } from './app.tsx'
import './i18n.ts'
import { tellError, tellStale } from './parts/tell.ts'

const queries = new QueryClient({
  queryCache: new QueryCache({ onError: (error, { state }) => state.data !== undefined && tellStale(error) }),
  mutationCache: new MutationCache({ onError: tellError }),
  defaultOptions: {
    queries: {
      staleTime: 5000,
      retry: (count, error) => count < 3 && !(error instanceof ApiError && error.status >= 400 && error.status < 500),
    },
  },
})

const theme = createTheme({
  primaryColor: 'indigo',
  defaultRadius: 'md',
  fontFamily: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Noto Sans SC', 'PingFang SC', sans-serif",
  // A state that is cut off says nothing: beside it other texts give way.
  components: { Badge: Badge.extend({ defaultProps: { miw: 'max-content' } }) },
})

createRoot(document.getElementById('root')!).render(
  <MantineProvider theme={theme} defaultColorScheme="auto">
    <QueryClientProvider client={queries}>
      <ModalsProvider>
        <Notifications position="top-right" />
        <BrowserRouter>
          <App />
        </BrowserRouter>
      </ModalsProvider>
    </QueryClientProvider>
  </MantineProvider>,
)
