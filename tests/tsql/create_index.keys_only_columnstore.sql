CREATE NONCLUSTERED COLUMNSTORE INDEX [follows] ON [dbo].[follows] ([b]) WHERE ([a]>(0) AND [b] IS NOT NULL);
